# libcap and inih by pkg-config.
pkg_check_modules(libcap REQUIRED IMPORTED_TARGET GLOBAL libcap)
pkg_check_modules(inih REQUIRED IMPORTED_TARGET GLOBAL inih)
add_library(trimtab::libcap ALIAS PkgConfig::libcap)
add_library(trimtab::inih ALIAS PkgConfig::inih)
