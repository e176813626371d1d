# Agents and test guests: C (with the SDK) and WebAssembly text, to wasm32-wasi.
# Compiling and linking are two commands on purpose: clang given -O while linking runs wasm-opt where
# it finds one, and that drops the function names that traps print.
if(NOT SHANNON_NATIVE)
    return()
endif()
find_program(WASM_CC NAMES clang-19 REQUIRED)
find_program(WAT2WASM wat2wasm REQUIRED)
set(wasm_target --target=wasm32-wasi)
set(wasm_cflags -std=gnu17 -O2 -Wall -Wextra -Werror -I${CMAKE_SOURCE_DIR}/sdk/c
                -I${CMAKE_SOURCE_DIR}/agents)

function(sh_wasm_object source ret_object)
    file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR} ${source})
    set(object ${CMAKE_BINARY_DIR}/wasm/${name}.o)
    cmake_path(GET object PARENT_PATH dir)
    file(MAKE_DIRECTORY ${dir})
    add_custom_command(
        OUTPUT ${object}
        COMMAND ${WASM_CC} ${wasm_target} ${wasm_cflags} ${ARGN} -MD -MF ${object}.d -c ${source}
                -o ${object}
        DEPENDS ${source}
        DEPFILE ${object}.d
        COMMENT ""
        VERBATIM)
    set(${ret_object} ${object} PARENT_SCOPE)
endfunction()

# sh_wasm_link(output objects and link options...)
function(sh_wasm_link output)
    set(objects ${ARGN})
    list(FILTER objects EXCLUDE REGEX "^-")
    cmake_path(GET output PARENT_PATH dir)
    file(MAKE_DIRECTORY ${dir})
    add_custom_command(
        OUTPUT ${output}
        COMMAND ${WASM_CC} ${wasm_target} ${ARGN} -o ${output}
        DEPENDS ${objects}
        COMMENT ""
        VERBATIM)
endfunction()

# A copy that follows its source.
function(sh_copy source output)
    add_custom_command(
        OUTPUT ${output}
        COMMAND ${CMAKE_COMMAND} -E copy ${source} ${output}
        DEPENDS ${source}
        COMMENT ""
        VERBATIM)
endfunction()

file(GLOB sdk_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/sdk/c/*.c)
set(sdk_objects)
foreach(source ${sdk_sources})
    sh_wasm_object(${source} object)
    list(APPEND sdk_objects ${object})
endforeach()

# agents/NAME/*.c -> agents/NAME.wasm, agents/NAME/NAME.py -> agents/NAME.py, the manifest
# agents/NAME/agent.json -> agents/NAME.json; all also below share/shannon/agents, where the program
# looks. agents/common is linked into those in C.
file(GLOB common_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/agents/common/*.c)
set(common_objects)
foreach(source ${common_sources})
    sh_wasm_object(${source} object)
    list(APPEND common_objects ${object})
endforeach()
set(agent_outputs)
file(GLOB agent_dirs CONFIGURE_DEPENDS LIST_DIRECTORIES true ${CMAKE_SOURCE_DIR}/agents/*)
foreach(dir ${agent_dirs})
    cmake_path(GET dir FILENAME name)
    file(GLOB sources CONFIGURE_DEPENDS ${dir}/*.c)
    if(name STREQUAL "common")
        continue()
    elseif(EXISTS ${dir}/${name}.py)
        foreach(place agents share/shannon/agents)
            sh_copy(${dir}/${name}.py ${CMAKE_BINARY_DIR}/${place}/${name}.py)
            list(APPEND agent_outputs ${CMAKE_BINARY_DIR}/${place}/${name}.py)
        endforeach()
    elseif(sources)
        set(objects)
        foreach(source ${sources})
            sh_wasm_object(${source} object)
            list(APPEND objects ${object})
        endforeach()
        # Function names stay, for traps; the C library's debug data does not.
        sh_wasm_link(${CMAKE_BINARY_DIR}/agents/${name}.wasm -Wl,--strip-debug ${objects}
                     ${common_objects} ${sdk_objects})
        sh_copy(${CMAKE_BINARY_DIR}/agents/${name}.wasm
                ${CMAKE_BINARY_DIR}/share/shannon/agents/${name}.wasm)
        list(APPEND agent_outputs ${CMAKE_BINARY_DIR}/share/shannon/agents/${name}.wasm)
    else()
        continue()
    endif()
    if(EXISTS ${dir}/agent.json)
        foreach(place agents share/shannon/agents)
            sh_copy(${dir}/agent.json ${CMAKE_BINARY_DIR}/${place}/${name}.json)
            list(APPEND agent_outputs ${CMAKE_BINARY_DIR}/${place}/${name}.json)
        endforeach()
    endif()
endforeach()
add_custom_target(agents ALL DEPENDS ${agent_outputs})

# tests/guests: NAME.c and NAME.wat -> guests/NAME.wasm (C wins where both are there); .py, .wat and
# .json are copied as they are.
# Guests keep debug data, so that backtraces name files and lines.
set(guest_outputs)
file(GLOB guest_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/guests/*)
foreach(file ${guest_files})
    cmake_path(GET file FILENAME filename)
    cmake_path(GET file STEM name)
    cmake_path(GET file EXTENSION extension)
    set(output ${CMAKE_BINARY_DIR}/guests/${name}.wasm)
    if(extension STREQUAL ".c")
        sh_wasm_object(${file} object -g)
        sh_wasm_link(${output} ${object} ${sdk_objects})
        list(APPEND guest_outputs ${output})
    elseif(extension STREQUAL ".wat" AND NOT EXISTS ${CMAKE_SOURCE_DIR}/tests/guests/${name}.c)
        add_custom_command(
            OUTPUT ${output}
            COMMAND ${WAT2WASM} --enable-all --debug-names ${file} -o ${output}
            DEPENDS ${file}
            COMMENT ""
            VERBATIM)
        list(APPEND guest_outputs ${output})
    endif()
    if(extension MATCHES "^\\.(py|wat|json)$")
        sh_copy(${file} ${CMAKE_BINARY_DIR}/guests/${filename})
        list(APPEND guest_outputs ${CMAKE_BINARY_DIR}/guests/${filename})
    endif()
endforeach()
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/guests)
if(BUILD_TESTING OR NOT DEFINED BUILD_TESTING)
    add_custom_target(guests ALL DEPENDS ${guest_outputs})
else()
    add_custom_target(guests DEPENDS ${guest_outputs})
endif()
