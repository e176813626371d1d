# Debian's libraries, each as one interface library, so that a module names what it uses.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(UV REQUIRED IMPORTED_TARGET libuv)
pkg_check_modules(MHD REQUIRED IMPORTED_TARGET libmicrohttpd)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(SODIUM REQUIRED IMPORTED_TARGET libsodium)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET openssl)
pkg_check_modules(GUMBO REQUIRED IMPORTED_TARGET gumbo)
pkg_check_modules(CHECK IMPORTED_TARGET check)

find_library(WSLAY_LIBRARY wslay REQUIRED)
add_library(sh_wslay INTERFACE)
target_link_libraries(sh_wslay INTERFACE ${WSLAY_LIBRARY})

add_library(sh_core_deps INTERFACE)
target_link_libraries(sh_core_deps INTERFACE PkgConfig::UV PkgConfig::CURL PkgConfig::JANSSON
                                             PkgConfig::SODIUM PkgConfig::GUMBO Threads::Threads m)
add_library(sh_api_deps INTERFACE)
target_link_libraries(sh_api_deps INTERFACE sh_core_deps PkgConfig::MHD PkgConfig::OPENSSL sh_wslay)
