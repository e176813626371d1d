# build/<preset>/bin/shannon, with its share folder beside it as when installed.
set(share ${CMAKE_BINARY_DIR}/share/shannon)

# CPython as it was published, and the same after its start, which is made by running it in the
# program's own sandbox. The program is not a dependency of that file: what comes out is known by its
# hash and kept. Both ship optimized.
set(published ${CMAKE_BINARY_DIR}/python)
add_custom_command(
    OUTPUT ${published}/python.wasm
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/fetch-python ${published}/python.wasm
    DEPENDS ${CMAKE_SOURCE_DIR}/scripts/fetch-python
            ${CMAKE_SOURCE_DIR}/scripts/python-wasi/package-lock.json
    COMMENT "CPython as a WebAssembly module"
    VERBATIM)
add_custom_command(
    OUTPUT ${published}/python-image.wasm
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/python-image ${CMAKE_BINARY_DIR}/bin/shannon
            ${published}/python.wasm ${published}/python-image.wasm
    DEPENDS ${published}/python.wasm ${CMAKE_SOURCE_DIR}/scripts/python-image
    COMMENT "CPython's image"
    VERBATIM)
foreach(module python python-image)
    add_custom_command(
        OUTPUT ${share}/${module}.wasm
        COMMAND ${CMAKE_SOURCE_DIR}/scripts/optimize-wasm ${published}/${module}.wasm
                ${share}/${module}.wasm
        DEPENDS ${published}/${module}.wasm ${CMAKE_SOURCE_DIR}/scripts/optimize-wasm
        COMMENT "Optimizing ${module}.wasm"
        VERBATIM)
endforeach()
add_custom_target(python-wasm ALL DEPENDS ${share}/python.wasm)
# What scripts import, and what `shannon new` copies from: where the program looks for both.
include(${CMAKE_CURRENT_LIST_DIR}/Sdk.cmake)

if(NOT EXISTS ${api_dir}/main.c)
    message(STATUS "no shannon-api/src/main.c: the program is left out")
    return()
endif()

add_executable(shannon ${api_dir}/main.c)
# What scripts import, compiled by the interpreter; known by what it is made of, and kept, too.
add_custom_command(
    OUTPUT ${share}/python/shannon.pyc
    COMMAND ${CMAKE_SOURCE_DIR}/scripts/python-module ${CMAKE_BINARY_DIR}/bin/shannon
            ${share}/python.wasm ${CMAKE_SOURCE_DIR}/sdk/python/shannon.py
            ${share}/python/shannon.pyc
    DEPENDS ${share}/python.wasm ${CMAKE_SOURCE_DIR}/scripts/python-module
            ${CMAKE_SOURCE_DIR}/sdk/python/shannon.py
    COMMENT "Compiling what scripts import"
    VERBATIM)
add_custom_target(python-image ALL DEPENDS ${share}/python-image.wasm ${share}/python/shannon.pyc)
add_dependencies(python-image shannon python-wasm)
target_include_directories(shannon PRIVATE ${CMAKE_SOURCE_DIR}/native/include)
add_dependencies(shannon sdk)
target_link_libraries(shannon PRIVATE $<LINK_GROUP:RESCAN,sh_api,sh_core> sh_full)
set_target_properties(shannon PROPERTIES LINK_DEPENDS ${CMAKE_BINARY_DIR}/native.stamp)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_link_options(shannon PRIVATE -Wl,-s)
endif()

# The library for programs of others: one shared object that shows only durable_*. An archive would
# hand its user 460 MB of Rust, whose runtime clashes with any other Rust archive in the program.
include(GNUInstallDirs)
add_library(durable_shannon SHARED $<TARGET_OBJECTS:sh_library>)
target_link_libraries(durable_shannon PRIVATE sh_core sh_full)
set_target_properties(durable_shannon PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION 0 LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib
    LINK_DEPENDS "${CMAKE_BINARY_DIR}/native.stamp;${CMAKE_SOURCE_DIR}/cmake/durable_shannon.map")
target_link_options(durable_shannon PRIVATE
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/durable_shannon.map)
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_link_options(durable_shannon PRIVATE -Wl,-s)
endif()
file(RELATIVE_PATH pc_to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(${CMAKE_SOURCE_DIR}/cmake/durable_shannon.pc.in
               ${CMAKE_BINARY_DIR}/generated/durable_shannon.pc @ONLY)
install(TARGETS durable_shannon LIBRARY COMPONENT library)
install(FILES ${CMAKE_SOURCE_DIR}/durable-shannon/include/durable_shannon.h
        TYPE INCLUDE COMPONENT library)
install(FILES ${CMAKE_BINARY_DIR}/generated/durable_shannon.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
install(TARGETS shannon RUNTIME)
install(DIRECTORY ${share}/ DESTINATION ${CMAKE_INSTALL_DATADIR}/shannon)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/NOTICE
        DESTINATION ${CMAKE_INSTALL_DOCDIR})
if(EXISTS ${CMAKE_SOURCE_DIR}/docs/shannon.1)
    install(FILES ${CMAKE_SOURCE_DIR}/docs/shannon.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
