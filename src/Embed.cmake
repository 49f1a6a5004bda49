# embed_text(FILE OUT): OUT becomes a C string literal of FILE, one line a line. Comments of an .ini file are left
# out, but not their lines: errors name the same numbers.
function(embed_text file out)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} text)
    if(file MATCHES "[.]ini$")
        string(REGEX REPLACE "[;#][^\n]*" "" text "${text}")
    endif()
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REGEX REPLACE "\n$" "" text "${text}")
    string(REPLACE "\n" "\\n\"\n\"" text "${text}")
    file(CONFIGURE OUTPUT ${out} CONTENT "\"${text}\\n\"\n" @ONLY)
endfunction()
