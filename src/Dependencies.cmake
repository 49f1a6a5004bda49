# libcap and inih: Debian's by pkg-config, or built here from a source that the user gives.
# What links them knows only trimtab::libcap and trimtab::inih.

# source_of(NAME VARIABLE): make the directory or archive that TRIMTAB_<NAME>_SOURCE names an
# ExternalProject's download step. The user's directory is copied: nothing is built in it.
function(source_of name out)
    set(source "${TRIMTAB_${name}_SOURCE}")
    if(IS_DIRECTORY "${source}")
        set(${out} DOWNLOAD_COMMAND ${CMAKE_COMMAND} -E copy_directory "${source}" <SOURCE_DIR> PARENT_SCOPE)
    elseif(TRIMTAB_${name}_SHA256)
        set(${out} URL "${source}" URL_HASH "SHA256=${TRIMTAB_${name}_SHA256}" DOWNLOAD_EXTRACT_TIMESTAMP ON PARENT_SCOPE)
    else()
        message(FATAL_ERROR "TRIMTAB_${name}_SOURCE: '${source}' is no directory; an archive needs TRIMTAB_${name}_SHA256")
    endif()
endfunction()

if(TRIMTAB_LIBCAP_SOURCE)
    # Its own Makefile makes cap_names.h from the kernel's header; it brings linux/capability.h, which musl-gcc
    # does not see.
    include(ExternalProject)
    find_program(TRIMTAB_BUILD_CC NAMES gcc cc clang REQUIRED DOC "Compiler for programs that run during the build")
    find_program(TRIMTAB_MAKE NAMES make gmake REQUIRED)
    source_of(LIBCAP download)
    ExternalProject_Add(libcap_build
        PREFIX ${CMAKE_BINARY_DIR}/libcap
        ${download}
        BUILD_IN_SOURCE ON
        CONFIGURE_COMMAND ""
        BUILD_COMMAND ${TRIMTAB_MAKE} -s -C libcap libcap.a CC=${CMAKE_C_COMPILER} BUILD_CC=${TRIMTAB_BUILD_CC}
            AR=${CMAKE_AR} RANLIB=${CMAKE_RANLIB} USE_GPERF=no lib=lib "COPTS=-Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables"
        INSTALL_COMMAND ""
        BUILD_BYPRODUCTS <SOURCE_DIR>/libcap/libcap.a)
    ExternalProject_Get_Property(libcap_build SOURCE_DIR)
    add_library(libcap_built INTERFACE)
    add_dependencies(libcap_built libcap_build)
    target_include_directories(libcap_built SYSTEM INTERFACE
        ${SOURCE_DIR}/libcap/include ${SOURCE_DIR}/libcap/include/uapi)
    target_link_libraries(libcap_built INTERFACE ${SOURCE_DIR}/libcap/libcap.a)
    add_library(trimtab::libcap ALIAS libcap_built)
elseif(TRIMTAB_STATIC)
    message(FATAL_ERROR "A static trimtab needs TRIMTAB_LIBCAP_SOURCE: Debian's libcap.a is made for another C library")
else()
    pkg_check_modules(libcap REQUIRED IMPORTED_TARGET GLOBAL libcap)
    add_library(trimtab::libcap ALIAS PkgConfig::libcap)
endif()

if(TRIMTAB_INIH_SOURCE)
    include(ExternalProject)
    source_of(INIH download)
    ExternalProject_Add(inih_source
        PREFIX ${CMAKE_BINARY_DIR}/inih
        ${download}
        CONFIGURE_COMMAND ""
        BUILD_COMMAND ""
        INSTALL_COMMAND ""
        BUILD_BYPRODUCTS <SOURCE_DIR>/ini.c)
    ExternalProject_Get_Property(inih_source SOURCE_DIR)
    set_source_files_properties(${SOURCE_DIR}/ini.c PROPERTIES GENERATED ON)
    add_library(inih_built STATIC ${SOURCE_DIR}/ini.c)
    add_dependencies(inih_built inih_source)
    target_compile_options(inih_built PRIVATE -w -ffunction-sections -fdata-sections)
    target_include_directories(inih_built SYSTEM INTERFACE ${SOURCE_DIR})
    add_library(trimtab::inih ALIAS inih_built)
elseif(TRIMTAB_STATIC)
    # Debian's libinih.a needs nothing of glibc that musl lacks. Its header is copied, because musl-gcc must not
    # see the rest of /usr/include.
    pkg_get_variable(inih_libdir inih libdir)
    pkg_get_variable(inih_includedir inih includedir)
    find_library(TRIMTAB_INIH_ARCHIVE NAMES libinih.a HINTS ${inih_libdir} REQUIRED)
    configure_file(${inih_includedir}/ini.h ${CMAKE_BINARY_DIR}/inih/include/ini.h COPYONLY)
    add_library(inih_debian INTERFACE)
    target_include_directories(inih_debian SYSTEM INTERFACE ${CMAKE_BINARY_DIR}/inih/include)
    target_link_libraries(inih_debian INTERFACE ${TRIMTAB_INIH_ARCHIVE})
    add_library(trimtab::inih ALIAS inih_debian)
else()
    pkg_check_modules(inih REQUIRED IMPORTED_TARGET GLOBAL inih)
    add_library(trimtab::inih ALIAS PkgConfig::inih)
endif()
