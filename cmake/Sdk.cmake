# share/shannon/python/shannon.py, which scripts import; share/shannon/sdk/LANGUAGE and
# share/shannon/templates/LANGUAGE, which `shannon new` copies from. Copies follow their sources.
set(sdk_outputs)
function(sh_share source place)
    add_custom_command(
        OUTPUT ${share}/${place}
        COMMAND ${CMAKE_COMMAND} -E copy ${source} ${share}/${place}
        DEPENDS ${source}
        COMMENT ""
        VERBATIM)
    list(APPEND sdk_outputs ${share}/${place})
    set(sdk_outputs ${sdk_outputs} PARENT_SCOPE)
endfunction()

sh_share(${CMAKE_SOURCE_DIR}/sdk/python/shannon.py python/shannon.py)
file(GLOB_RECURSE sdk_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/sdk
     ${CMAKE_SOURCE_DIR}/sdk/*.[ch] ${CMAKE_SOURCE_DIR}/sdk/*.hpp ${CMAKE_SOURCE_DIR}/sdk/*.rs
     ${CMAKE_SOURCE_DIR}/sdk/*.go ${CMAKE_SOURCE_DIR}/sdk/*.py ${CMAKE_SOURCE_DIR}/sdk/go/go.mod
     ${CMAKE_SOURCE_DIR}/sdk/rust/Cargo.*)
foreach(file ${sdk_files})
    if(NOT file MATCHES "/examples/|/target/|^templates/")
        sh_share(${CMAKE_SOURCE_DIR}/sdk/${file} sdk/${file})
    endif()
endforeach()
file(GLOB_RECURSE template_files CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR}/sdk/templates
     ${CMAKE_SOURCE_DIR}/sdk/templates/*)
foreach(file ${template_files})
    sh_share(${CMAKE_SOURCE_DIR}/sdk/templates/${file} templates/${file})
endforeach()
add_custom_target(sdk ALL DEPENDS ${sdk_outputs})
