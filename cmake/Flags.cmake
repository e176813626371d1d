# Warnings, hardening, sanitizers. One interface library, sh_flags, carries them all.
find_program(SHANNON_CCACHE ccache)
mark_as_advanced(SHANNON_CCACHE)
if(SHANNON_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
    set(CMAKE_C_COMPILER_LAUNCHER ${SHANNON_CCACHE})
endif()

add_library(sh_flags INTERFACE)
target_compile_definitions(sh_flags INTERFACE _GNU_SOURCE SHANNON_VERSION="${PROJECT_VERSION}"
                                              $<$<BOOL:${SHANNON_FAULTS}>:SH_FAULTS>)

set(warnings
    -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wcast-qual
    -Wpointer-arith -Wformat=2 -Wundef -Wconversion -Wno-sign-conversion -Wnull-dereference
    -Wwrite-strings)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    list(APPEND warnings -Wimplicit-fallthrough=5)
else()
    list(APPEND warnings -Wimplicit-fallthrough -Wno-gnu-statement-expression
                         -Wno-string-conversion)
endif()
target_compile_options(sh_flags INTERFACE ${warnings} $<$<BOOL:${SHANNON_WERROR}>:-Werror>)

# Paths in messages and debug data are relative, so that two clones build the same bytes.
target_compile_options(sh_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)

set(CMAKE_C_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")

if(SHANNON_SANITIZE STREQUAL "")
    # SHANNON_WERROR builds are ours; -D_FORTIFY_SOURCE needs optimization, which all of them have.
    target_compile_options(sh_flags INTERFACE
        -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-clash-protection
        -fcf-protection -ftrivial-auto-var-init=zero -fvisibility=hidden
        -ffunction-sections -fdata-sections)
    target_link_options(sh_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--gc-sections)
    set(CMAKE_POSITION_INDEPENDENT_CODE ON)
    target_link_options(sh_flags INTERFACE $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
elseif(SHANNON_SANITIZE STREQUAL "address")
    set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(SHANNON_SANITIZE STREQUAL "thread")
    set(sanitize -fsanitize=thread)
elseif(SHANNON_SANITIZE STREQUAL "fuzzer")
    set(sanitize -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all)
else()
    message(FATAL_ERROR "SHANNON_SANITIZE is '${SHANNON_SANITIZE}'; "
                        "expected nothing, address, thread or fuzzer")
endif()
if(NOT SHANNON_SANITIZE STREQUAL "")
    # Sections are kept apart here too: a test links a few functions of a large archive.
    target_compile_options(sh_flags INTERFACE ${sanitize} -fno-omit-frame-pointer
                                              -ffunction-sections -fdata-sections)
    target_link_options(sh_flags INTERFACE ${sanitize})
    if(NOT SHANNON_SANITIZE STREQUAL "fuzzer")
        target_link_options(sh_flags INTERFACE -Wl,--gc-sections)
    endif()
endif()

# mold links the 460 MB Rust archive in a second where the default linker needs seven.
find_program(SHANNON_MOLD mold)
mark_as_advanced(SHANNON_MOLD)
if(SHANNON_MOLD)
    target_link_options(sh_flags INTERFACE -fuse-ld=mold)
endif()
