/* The kernels of jetson/kernels/preprocess.cu on the CPU, from that very file: -DKERNELS='"…/preprocess.cu"'.
 *
 * As libcuda has it: cuModuleLoadData takes what nvrtc_stub.c "compiled", cuLaunchKernel runs every thread of the
 * grid one after the other. Linked with cudart_stub.c, of which KERNEL_STUB_FAIL and KERNEL_STUB_LOG are the
 * counterparts of CUDART_STUB_FAIL and CUDART_STUB_LOG. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { unsigned x, y, z; } Index;

static __thread Index blockIdx, threadIdx, blockDim;

#define __global__ static
#define __device__

#include KERNELS

#define IMAGE_MAGIC "compiled by nvrtc_stub for "
#define INVALID_VALUE 1
#define INVALID_IMAGE 200
#define NOT_FOUND 500

static int told(const char *call) {
    const char *log = getenv("KERNEL_STUB_LOG"), *at = getenv("KERNEL_STUB_FAIL");
    FILE *file = log && *log ? fopen(log, "a") : NULL;
    if (file) {
        fprintf(file, "%s\n", call);
        fclose(file);
    }
    at = at ? strstr(at, call) : NULL;
    return at && at[strlen(call)] == '=' ? atoi(at + strlen(call) + 1) : 0;
}

#define TOLD(call) do { int error = told(call); if (error) return error; } while (0)

static int modules;

int cuModuleLoadData(void **module, const void *image) {
    TOLD("cuModuleLoadData");
    if (strncmp(image, IMAGE_MAGIC, strlen(IMAGE_MAGIC)))
        return INVALID_IMAGE;
    *module = &modules;
    modules++;
    return 0;
}

int cuModuleUnload(void *module) {
    TOLD("cuModuleUnload");
    if (module != &modules || !modules)
        return INVALID_VALUE;
    modules--;
    return 0;
}

static const char FIT[] = "fit", BLOCK_MEANS[] = "block_means";

int cuModuleGetFunction(void **function, void *module, const char *name) {
    TOLD("cuModuleGetFunction");
    if (module != &modules || !modules)
        return INVALID_VALUE;
    *function = (void *)(!strcmp(name, FIT) ? FIT : !strcmp(name, BLOCK_MEANS) ? BLOCK_MEANS : NULL);
    return *function ? 0 : NOT_FOUND;
}

static void run(const char *function, void **arguments) {
    if (function == FIT)
        fit(*(const Fit *)arguments[0]);
    else
        block_means(*(const BlockMeans *)arguments[0]);
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared, void *stream, void **arguments, void **extra) {
    TOLD("cuLaunchKernel");
    (void)stream;
    if (!grid_x || !grid_y || grid_y > 65535 || grid_z != 1 || !block_x || !block_y || block_z != 1 ||
        block_x * block_y > 1024 || shared || extra || (function != FIT && function != BLOCK_MEANS))
        return INVALID_VALUE;
    blockDim = (Index){block_x, block_y, 1};
    for (blockIdx.y = 0; blockIdx.y < grid_y; blockIdx.y++)
        for (blockIdx.x = 0; blockIdx.x < grid_x; blockIdx.x++)
            for (threadIdx.y = 0; threadIdx.y < block_y; threadIdx.y++)
                for (threadIdx.x = 0; threadIdx.x < block_x; threadIdx.x++)
                    run(function, arguments);
    return 0;
}

int cuGetErrorName(int number, const char **name) {
    *name = number == INVALID_IMAGE ? "CUDA_ERROR_INVALID_IMAGE"
            : number == NOT_FOUND   ? "CUDA_ERROR_NOT_FOUND"
            : number == 700         ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                    : NULL;
    return *name ? 0 : INVALID_VALUE;
}
