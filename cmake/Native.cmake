# native/: Wasmtime's headers (seconds) and the Rust archive (most of an hour the first time, then
# from the cache). scripts/native-build owns the cache; here it is a file that other files depend on.
file(GLOB_RECURSE native_sources CONFIGURE_DEPENDS
     ${CMAKE_SOURCE_DIR}/native/src/*.rs ${CMAKE_SOURCE_DIR}/native/include/*.h
     ${CMAKE_SOURCE_DIR}/native/build.rs ${CMAKE_SOURCE_DIR}/native/.cargo/*)
if(SHANNON_WASMTIME STREQUAL "40")
    set(native_manifest ${CMAKE_SOURCE_DIR}/native)
elseif(SHANNON_WASMTIME STREQUAL "48")
    set(native_manifest ${CMAKE_SOURCE_DIR}/native/wasmtime-48)
else()
    message(FATAL_ERROR "SHANNON_WASMTIME is '${SHANNON_WASMTIME}'; expected 40 or 48")
endif()
set(native_build ${CMAKE_SOURCE_DIR}/scripts/native-build --wasmtime ${SHANNON_WASMTIME})
set(native_inputs ${native_sources} ${native_manifest}/Cargo.toml ${native_manifest}/Cargo.lock
                  ${CMAKE_SOURCE_DIR}/scripts/native-build)

# Objects that include wasmtime.h link sh_wasmtime_headers; nothing here builds unless one does.
set(SHANNON_WASMTIME_INCLUDE ${CMAKE_BINARY_DIR}/wasmtime/include)
add_custom_command(
    OUTPUT ${CMAKE_BINARY_DIR}/wasmtime/headers.stamp
    COMMAND ${native_build} headers ${SHANNON_WASMTIME_INCLUDE}
    COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/wasmtime/headers.stamp
    DEPENDS ${native_manifest}/Cargo.toml ${native_manifest}/Cargo.lock
            ${CMAKE_SOURCE_DIR}/scripts/native-build
    COMMENT "Wasmtime's C headers"
    VERBATIM)
add_custom_target(wasmtime-headers DEPENDS ${CMAKE_BINARY_DIR}/wasmtime/headers.stamp)
file(MAKE_DIRECTORY ${SHANNON_WASMTIME_INCLUDE})
add_library(sh_wasmtime_headers INTERFACE)
target_include_directories(sh_wasmtime_headers SYSTEM INTERFACE ${SHANNON_WASMTIME_INCLUDE})
add_dependencies(sh_wasmtime_headers wasmtime-headers)

if(SHANNON_NATIVE)
    # The stamp is newer than the archive, which may be years old in the cache; and it is the only
    # output: Ninja removes the outputs of what is interrupted, links followed.
    add_custom_command(
        OUTPUT ${CMAKE_BINARY_DIR}/native.stamp
        COMMAND ${native_build} archive ${CMAKE_BINARY_DIR}/native
        COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/native.stamp
        DEPENDS ${native_inputs}
        COMMENT ""
        USES_TERMINAL
        VERBATIM)
    add_custom_target(native DEPENDS ${CMAKE_BINARY_DIR}/native.stamp)
    add_library(sh_native INTERFACE)
    target_link_libraries(sh_native INTERFACE -L${CMAKE_BINARY_DIR}/native -l:libshannon_native.a
                                              stdc++ m dl Threads::Threads)
    set_property(TARGET sh_native PROPERTY INTERFACE_LINK_DEPENDS ${CMAKE_BINARY_DIR}/native.stamp)
    add_dependencies(sh_native native)
endif()
