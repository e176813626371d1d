# build/<preset>/bin/shannon, with its share folder beside it as when installed.
set(share ${CMAKE_BINARY_DIR}/share/shannon)

add_custom_command(
    OUTPUT ${share}/python.wasm
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/fetch-python ${share}/python.wasm
    DEPENDS ${CMAKE_SOURCE_DIR}/scripts/fetch-python
            ${CMAKE_SOURCE_DIR}/scripts/python-wasi/package-lock.json
    COMMENT "CPython as a WebAssembly module"
    VERBATIM)
add_custom_target(python-wasm ALL DEPENDS ${share}/python.wasm)

if(NOT EXISTS ${api_dir}/main.c)
    message(STATUS "no shannon-api/src/main.c: the program is left out")
    return()
endif()

add_executable(shannon ${api_dir}/main.c)
target_include_directories(shannon PRIVATE ${CMAKE_SOURCE_DIR}/native/include)
target_link_libraries(shannon PRIVATE $<LINK_GROUP:RESCAN,sh_api,sh_core> sh_full)
set_target_properties(shannon PROPERTIES LINK_DEPENDS ${CMAKE_BINARY_DIR}/native.stamp)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_link_options(shannon PRIVATE -Wl,-s)
endif()

include(GNUInstallDirs)
install(TARGETS shannon RUNTIME)
install(DIRECTORY ${share}/ DESTINATION ${CMAKE_INSTALL_DATADIR}/shannon)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/sdk/c/ DESTINATION ${CMAKE_INSTALL_DATADIR}/shannon/sdk/c
        FILES_MATCHING PATTERN "*.[ch]")
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/NOTICE
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(EXISTS ${CMAKE_SOURCE_DIR}/docs/shannon.1)
    install(FILES ${CMAKE_SOURCE_DIR}/docs/shannon.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
