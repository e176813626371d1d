# durable-shannon. What needs no Rust becomes one archive, sh_core: unit tests, sanitizers and
# fuzzers link it in a blink. What needs native/ becomes objects, because weak references to it
# (the table of store implementations) would not pull members out of an archive.
set(lib_dir ${CMAKE_SOURCE_DIR}/durable-shannon/src)

add_library(sh_include INTERFACE)
target_include_directories(sh_include INTERFACE ${lib_dir} ${CMAKE_SOURCE_DIR}/durable-shannon/include)
target_include_directories(sh_include SYSTEM INTERFACE ${JANSSON_INCLUDE_DIRS})

# The only files that see Rust: SurrealDB's side of the store, Wasmtime's side of the sandbox.
set(native_only "store/store_surreal[^/]*\\.c$")
set(sandbox_core "microsandbox/(guest|wasi|vfs|files)[^/]*\\.c$")

set(core_objects)
set(native_objects)
foreach(module base policy loop store microsandbox tools engine library)
    file(GLOB sources CONFIGURE_DEPENDS ${lib_dir}/${module}/*.c)
    set(native_sources ${sources})
    if(module STREQUAL "microsandbox")
        list(FILTER native_sources EXCLUDE REGEX "${sandbox_core}")
        list(FILTER sources INCLUDE REGEX "${sandbox_core}")
    else()
        list(FILTER native_sources INCLUDE REGEX "${native_only}")
        list(FILTER sources EXCLUDE REGEX "${native_only}")
    endif()
    if(sources)
        add_library(sh_${module} OBJECT ${sources})
        target_link_libraries(sh_${module} PRIVATE sh_flags sh_include sh_core_deps)
        list(APPEND core_objects $<TARGET_OBJECTS:sh_${module}>)
    endif()
    if(native_sources AND SHANNON_NATIVE)
        add_library(sh_${module}_native OBJECT ${native_sources})
        target_link_libraries(sh_${module}_native PRIVATE sh_flags sh_include sh_core_deps
                                                          sh_wasmtime_headers)
        add_dependencies(sh_${module}_native wasmtime-headers)
        target_include_directories(sh_${module}_native PRIVATE ${CMAKE_SOURCE_DIR}/native/include)
        list(APPEND native_objects $<TARGET_OBJECTS:sh_${module}_native>)
    endif()
endforeach()

file(WRITE ${CMAKE_BINARY_DIR}/generated/sh_core_version.c
     "/* Generated. An archive needs a member even while every module folder is empty. */\n"
     "extern const char sh_core_version[];\n"
     "const char sh_core_version[] = \"${PROJECT_VERSION}\";\n")
add_library(sh_core STATIC ${core_objects} ${CMAKE_BINARY_DIR}/generated/sh_core_version.c)
target_link_libraries(sh_core PUBLIC sh_flags sh_include sh_core_deps)

# Everything: sh_core, the objects that need Rust, and Rust itself.
add_library(sh_full INTERFACE)
target_sources(sh_full INTERFACE ${native_objects})
target_link_libraries(sh_full INTERFACE sh_core)
if(SHANNON_NATIVE)
    target_link_libraries(sh_full INTERFACE sh_native)
endif()

# The program without its main: an archive, so that unit tests link its pure parts without Rust.
set(api_dir ${CMAKE_SOURCE_DIR}/shannon-api/src)
file(GLOB_RECURSE api_sources CONFIGURE_DEPENDS ${api_dir}/*.c)
list(REMOVE_ITEM api_sources ${api_dir}/main.c)
if(api_sources)
    add_library(sh_api STATIC ${api_sources})
    target_include_directories(sh_api PUBLIC ${api_dir} PRIVATE ${CMAKE_SOURCE_DIR}/native/include)
    target_link_libraries(sh_api PUBLIC sh_flags sh_include sh_api_deps)
else()
    add_library(sh_api INTERFACE)
endif()

# The C SDK's JSON reader faces answers of models: it is tested natively as well.
file(GLOB sdk_json_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/sdk/c/*json*.c)
if(sdk_json_sources)
    add_library(sh_sdk_json STATIC ${sdk_json_sources})
    target_include_directories(sh_sdk_json PUBLIC ${CMAKE_SOURCE_DIR}/sdk/c)
    target_link_libraries(sh_sdk_json PUBLIC sh_flags)
else()
    add_library(sh_sdk_json INTERFACE)
endif()
