# SPDX-License-Identifier: MIT
# Device code: src/kernels/cuda/FOLDER/NAME.cu becomes device/FOLDER/NAME.fatbin, which src/kernels/cuda/images.c takes in as bytes.
# Without an nvcc of 12.5 (mma.sp with ordered metadata) everything else is built and says "not built".
option(WN_WITH_CUDA "Device code for NVIDIA GPUs when an nvcc is found" ON)
set(WN_NVCC_NAME "none: no device code")
set(WN_HAVE_NVCC OFF)
if(WN_WITH_CUDA)
  find_program(WN_NVCC nvcc HINTS /usr/local/cuda/bin)
  if(WN_NVCC)
    execute_process(COMMAND ${WN_NVCC} --version OUTPUT_VARIABLE nvcc_text ERROR_QUIET)
    string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" nvcc_text "${nvcc_text}")
    if(CMAKE_MATCH_1 VERSION_GREATER_EQUAL 12.5)
      set(WN_HAVE_NVCC ON)
      set(WN_NVCC_NAME "nvcc ${CMAKE_MATCH_1}: sm_80, compute_80, sm_90a")
    elseif(CMAKE_MATCH_1)
      set(WN_NVCC_NAME "nvcc ${CMAKE_MATCH_1} is older than 12.5: no device code")
    endif()
  endif()
endif()

# Only a test reads NVIDIA's header, to compare our declarations with it.
set(WN_CUDA_INCLUDE "")
if(WN_NVCC)
  get_filename_component(nvcc_real ${WN_NVCC} REALPATH)
  get_filename_component(nvcc_bin ${nvcc_real} DIRECTORY)
  find_path(WN_CUDA_INCLUDE_FOUND cuda.h HINTS ${nvcc_bin}/../include NO_DEFAULT_PATH)
  if(WN_CUDA_INCLUDE_FOUND)
    set(WN_CUDA_INCLUDE ${WN_CUDA_INCLUDE_FOUND})
  endif()
endif()

set(WN_DEVICE_TARGETS_sm80 -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_80,code=compute_80 -gencode=arch=compute_90,code=sm_90)
set(WN_DEVICE_TARGETS_sm90a -gencode=arch=compute_90a,code=sm_90a)

# Registers that do not fit are an error: no kernel of ours may spill, nor wait between products of a warpgroup (nvcc.sh).
function(wn_device_code target)
  if(NOT WN_HAVE_NVCC)
    return()
  endif()
  file(GLOB shared CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/cuda/*.h ${PROJECT_SOURCE_DIR}/src/kernels/cuda/common/*.cuh
       ${PROJECT_SOURCE_DIR}/src/tensor/tensor_map.h)
  set(images)
  foreach(folder sm80 sm90a)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/cuda/${folder}/*.cu)
    file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/device/${folder})
    foreach(source ${sources})
      get_filename_component(name ${source} NAME_WE)
      set(image ${PROJECT_BINARY_DIR}/device/${folder}/${name}.fatbin)
      add_custom_command(OUTPUT ${image}
        COMMAND sh ${PROJECT_SOURCE_DIR}/cmake/nvcc.sh ${WN_NVCC} -fatbin -O3 --no-compress -I${PROJECT_SOURCE_DIR}/src -Werror all-warnings
                -Xptxas -warn-spills,-warn-lmem-usage,-Werror ${WN_DEVICE_TARGETS_${folder}} ${source} -o ${image}
        DEPENDS ${source} ${shared} ${PROJECT_SOURCE_DIR}/cmake/nvcc.sh COMMENT "Building device code ${folder}/${name}" VERBATIM)
      list(APPEND images ${image})
    endforeach()
  endforeach()
  set_source_files_properties(${PROJECT_SOURCE_DIR}/src/kernels/cuda/images.c PROPERTIES OBJECT_DEPENDS "${images}")
  target_compile_definitions(${target} PUBLIC WN_HAVE_DEVICE_CODE=1 WN_DEVICE_CODE="${PROJECT_BINARY_DIR}/device")
endfunction()
