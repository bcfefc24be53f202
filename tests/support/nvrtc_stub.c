/* A libnvrtc for tests: it checks what it is told, and what it "compiles" kernel_on_cpu.c loads.
 *
 * NVRTC_STUB_VERSION ("10.2") is the version; NVRTC_STUB_LOG names a file that gets a line for each compilation.
 * Source with the line "#error" does not compile, nor does any for an architecture before 5.0. With
 * -DWITH_CUBIN it has nvrtcGetCUBIN, as NVRTC has from 11.2 on, and then takes sm_ as well as compute_. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMPILATION 6
#define INVALID_OPTION 5
#define INVALID_PROGRAM 4

struct program {
    char *source;
    char log[256];
    char image[64];
};

int nvrtcVersion(int *major, int *minor) {
    const char *version = getenv("NVRTC_STUB_VERSION");
    return sscanf(version && *version ? version : "10.2", "%d.%d", major, minor) == 2 ? 0 : 3;
}

const char *nvrtcGetErrorString(int number) {
    return number == COMPILATION       ? "NVRTC_ERROR_COMPILATION"
           : number == INVALID_OPTION  ? "NVRTC_ERROR_INVALID_OPTION"
           : number == INVALID_PROGRAM ? "NVRTC_ERROR_INVALID_PROGRAM"
                                       : "NVRTC_ERROR unknown";
}

int nvrtcCreateProgram(struct program **out, const char *source, const char *name, int headers, const char **texts,
                       const char **names) {
    (void)name, (void)texts, (void)names;
    if (headers)
        return 3;
    *out = calloc(1, sizeof **out);
    (*out)->source = strdup(source);
    return 0;
}

int nvrtcDestroyProgram(struct program **program) {
    free((*program)->source);
    free(*program);
    *program = NULL;
    return 0;
}

int nvrtcCompileProgram(struct program *program, int count, const char **options) {
    char kind[16] = "";
    int capability = 0;
    const char *path = getenv("NVRTC_STUB_LOG");
    FILE *file = path && *path ? fopen(path, "a") : NULL;
    if (count == 1)
        sscanf(options[0], "--gpu-architecture=%15[a-z]_%d", kind, &capability);
    if (file) {
        fprintf(file, "%s_%d\n", kind, capability);
        fclose(file);
    }
    if (strcmp(kind, "compute")
#ifdef WITH_CUBIN
        && strcmp(kind, "sm")
#endif
        ) {
        snprintf(program->log, sizeof program->log, "nvrtc: error: invalid value for --gpu-architecture (-arch)\n");
        return INVALID_OPTION;
    }
    if (capability < 50 || strstr(program->source, "#error")) {
        snprintf(program->log, sizeof program->log, "a warning\npreprocess.cu(1): error: it was told not to\nmore\n");
        return COMPILATION;
    }
    snprintf(program->image, sizeof program->image, "compiled by nvrtc_stub for %s_%d", kind, capability);
    return 0;
}

int nvrtcGetProgramLogSize(struct program *program, size_t *size) {
    *size = strlen(program->log) + 1;
    return 0;
}

int nvrtcGetProgramLog(struct program *program, char *log) {
    strcpy(log, program->log);
    return 0;
}

static int image_size(struct program *program, size_t *size) {
    *size = strlen(program->image) + 1;
    return *size > 1 ? 0 : INVALID_PROGRAM;
}

int nvrtcGetPTXSize(struct program *program, size_t *size) { return image_size(program, size); }

int nvrtcGetPTX(struct program *program, char *image) {
    strcpy(image, program->image);
    return 0;
}

#ifdef WITH_CUBIN
int nvrtcGetCUBINSize(struct program *program, size_t *size) {
    if (!strstr(program->image, "sm_"))
        return INVALID_PROGRAM;
    return image_size(program, size);
}

int nvrtcGetCUBIN(struct program *program, char *image) { return nvrtcGetPTX(program, image); }
#endif
