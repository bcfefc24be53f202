/* A CUDA runtime, and the little of its driver that is asked for, on host memory: for tests of the ctypes
 * backend. "Device" memory is malloc's. What a real runtime refuses is refused here, with its error numbers:
 * foreign and freed addresses, overruns, dead streams and events.
 *
 * CUDART_STUB_FAIL="cudaMalloc=2,cudaGetDeviceCount=35" makes calls fail with the number given.
 * CUDART_STUB_VERSION, CUDART_STUB_CAPABILITY ("5.3") and CUDART_STUB_NAME say what the device is.
 * CUDART_STUB_LOG names a file that gets a line for each call.
 *
 * Compile with -DNO_DRIVER or -DNO_RUNTIME for one of the two libraries alone, with -DWITH_GRAPHS for the driver's
 * stream capture, of copies alone: what a fake TensorRT does at once cannot be captured. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SUCCESS 0
#define INVALID_VALUE 1
#define OUT_OF_MEMORY 2
#define INVALID_HANDLE 400
#define TOTAL_BYTES ((size_t)4 << 30)

static const char *setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

/* Notes the call; the error it is told to fail with, or 0. */
static int told(const char *call) {
    const char *log = getenv("CUDART_STUB_LOG");
    if (log && *log) {
        FILE *file = fopen(log, "a");
        if (file) {
            fprintf(file, "%s\n", call);
            fclose(file);
        }
    }
    size_t length = strlen(call);
    for (const char *at = setting("CUDART_STUB_FAIL", ""); (at = strstr(at, call)); at += length)
        if (at[length] == '=')
            return atoi(at + length + 1);
    return SUCCESS;
}

#define TOLD(call) do { int error = told(call); if (error) return error; } while (0)

#ifndef NO_RUNTIME

enum kind { DEVICE, PINNED, STREAM, EVENT };

struct item {
    enum kind kind;
    char *at;
    size_t bytes;
    struct timespec time;
    int recorded;
    struct item *next;
};

static struct item *items;

static struct item *find(enum kind kind, const void *at) {
    struct item *item = items;
    while (item && !(item->kind == kind && item->at == at))
        item = item->next;
    return item;
}

static int make(enum kind kind, void **out, size_t bytes) {
    struct item *item = calloc(1, sizeof *item);
    item->kind = kind;
    item->bytes = bytes;
    item->at = malloc(bytes ? bytes : 1);
    memset(item->at, 0xFF, bytes);
    item->next = items;
    items = item;
    *out = item->at;
    return SUCCESS;
}

static int drop(enum kind kind, void *at, int error) {
    for (struct item **link = &items; *link; link = &(*link)->next) {
        struct item *item = *link;
        if (item->kind == kind && item->at == at) {
            *link = item->next;
            memset(item->at, 0xFF, item->bytes);
            free(item->at);
            free(item);
            return SUCCESS;
        }
    }
    return error;
}

static size_t used(void) {
    size_t sum = 0;
    for (struct item *item = items; item; item = item->next)
        sum += item->kind == DEVICE ? item->bytes : 0;
    return sum;
}

static int on_device(const char *at, size_t bytes) {
    for (struct item *item = items; item; item = item->next)
        if (item->kind == DEVICE && at >= item->at && at + bytes <= item->at + item->bytes)
            return 1;
    return 0;
}

/* The legacy default stream is 0. */
static int is_stream(void *stream) { return !stream || find(STREAM, stream); }

int cudaMalloc(void **out, size_t bytes) {
    TOLD("cudaMalloc");
    if (used() + bytes > TOTAL_BYTES)
        return OUT_OF_MEMORY;
    return make(DEVICE, out, bytes);
}

int cudaFree(void *at) {
    TOLD("cudaFree");
    return at ? drop(DEVICE, at, INVALID_VALUE) : SUCCESS;
}

#ifdef WITH_GRAPHS

struct copy {
    void *to;
    const void *from;
    size_t bytes;
};

struct graph {
    struct copy copies[16];
    int count;
};

static void *capturing;
static struct graph captured;
static int graphs_alive;

int stub_graphs_alive(void) { return graphs_alive; }

int cuStreamBeginCapture_v2(void *stream, int mode) {
    TOLD("cuStreamBeginCapture_v2");
    if (!stream || !find(STREAM, stream) || capturing)
        return INVALID_HANDLE;
    if (mode != 1)
        return INVALID_VALUE;
    capturing = stream;
    captured.count = 0;
    return SUCCESS;
}

static int make_graph(void **out, const struct graph *from) {
    *out = malloc(sizeof *from);
    memcpy(*out, from, sizeof *from);
    graphs_alive++;
    return SUCCESS;
}

static int drop_graph(void *graph) {
    free(graph);
    graphs_alive--;
    return SUCCESS;
}

int cuStreamEndCapture(void *stream, void **graph) {
    int is_captured = capturing && capturing == stream;
    capturing = NULL;
    TOLD("cuStreamEndCapture");
    return is_captured ? make_graph(graph, &captured) : INVALID_VALUE;
}

int cuGraphInstantiate(void **executable, void *graph, void *node, char *log, size_t log_bytes) {
    TOLD("cuGraphInstantiate");
    return node || log || log_bytes ? INVALID_VALUE : make_graph(executable, graph);
}

int cuGraphInstantiateWithFlags(void **executable, void *graph, unsigned long long flags) {
    TOLD("cuGraphInstantiateWithFlags");
    return flags ? INVALID_VALUE : make_graph(executable, graph);
}

int cuGraphLaunch(void *executable, void *stream) {
    TOLD("cuGraphLaunch");
    if (!find(STREAM, stream))
        return INVALID_HANDLE;
    struct graph *graph = executable;
    for (int index = 0; index < graph->count; index++)
        memcpy(graph->copies[index].to, graph->copies[index].from, graph->copies[index].bytes);
    return SUCCESS;
}

int cuGraphDestroy(void *graph) {
    TOLD("cuGraphDestroy");
    return drop_graph(graph);
}

int cuGraphExecDestroy(void *executable) {
    TOLD("cuGraphExecDestroy");
    return drop_graph(executable);
}

#endif

int cudaMemcpyAsync(void *to, const void *from, size_t bytes, int kind, void *stream) {
    TOLD("cudaMemcpyAsync");
    if (!is_stream(stream))
        return INVALID_HANDLE;
    if ((kind == 1 && !on_device(to, bytes)) || (kind == 2 && !on_device(from, bytes)) || kind < 1 || kind > 2)
        return INVALID_VALUE;
#ifdef WITH_GRAPHS
    if (capturing && capturing == stream) {
        captured.copies[captured.count++] = (struct copy){to, from, bytes};
        return SUCCESS;
    }
#endif
    memcpy(to, from, bytes);
    return SUCCESS;
}

int cudaStreamCreate(void **out) {
    TOLD("cudaStreamCreate");
    return make(STREAM, out, 1);
}

int cudaStreamCreateWithFlags(void **out, unsigned flags) {
    TOLD("cudaStreamCreateWithFlags");
    return flags > 1 ? INVALID_VALUE : make(STREAM, out, 1);
}

int cudaStreamDestroy(void *stream) {
    TOLD("cudaStreamDestroy");
    return drop(STREAM, stream, INVALID_HANDLE);
}

int cudaStreamSynchronize(void *stream) {
    TOLD("cudaStreamSynchronize");
    return is_stream(stream) ? SUCCESS : INVALID_HANDLE;
}

int cudaEventCreate(void **out) {
    TOLD("cudaEventCreate");
    return make(EVENT, out, 1);
}

int cudaEventCreateWithFlags(void **out, unsigned flags) {
    TOLD("cudaEventCreateWithFlags");
    (void)flags;
    return make(EVENT, out, 1);
}

int cudaEventRecord(void *event, void *stream) {
    TOLD("cudaEventRecord");
    struct item *item = find(EVENT, event);
    if (!item || !is_stream(stream))
        return INVALID_HANDLE;
    clock_gettime(CLOCK_MONOTONIC, &item->time);
    item->recorded = 1;
    return SUCCESS;
}

int cudaEventSynchronize(void *event) {
    TOLD("cudaEventSynchronize");
    return find(EVENT, event) ? SUCCESS : INVALID_HANDLE;
}

int cudaEventElapsedTime(float *out, void *start, void *end) {
    TOLD("cudaEventElapsedTime");
    struct item *a = find(EVENT, start), *b = find(EVENT, end);
    if (!a || !b || !a->recorded || !b->recorded)
        return INVALID_HANDLE;
    *out = (float)((b->time.tv_sec - a->time.tv_sec) * 1e3 + (b->time.tv_nsec - a->time.tv_nsec) / 1e6);
    return SUCCESS;
}

int cudaEventDestroy(void *event) {
    TOLD("cudaEventDestroy");
    return drop(EVENT, event, INVALID_HANDLE);
}

int cudaHostAlloc(void **out, size_t bytes, unsigned flags) {
    TOLD("cudaHostAlloc");
    (void)flags;
    return make(PINNED, out, bytes);
}

int cudaFreeHost(void *at) {
    TOLD("cudaFreeHost");
    return at ? drop(PINNED, at, INVALID_VALUE) : SUCCESS;
}

int cudaHostGetDevicePointer(void **out, void *at, unsigned flags) {
    TOLD("cudaHostGetDevicePointer");
    if (flags || !find(PINNED, at))
        return INVALID_VALUE;
    *out = at;
    return SUCCESS;
}

int cudaMemGetInfo(size_t *available, size_t *total) {
    TOLD("cudaMemGetInfo");
    *total = TOTAL_BYTES;
    *available = TOTAL_BYTES - used();
    return SUCCESS;
}

int cudaRuntimeGetVersion(int *out) {
    TOLD("cudaRuntimeGetVersion");
    *out = atoi(setting("CUDART_STUB_VERSION", "10020"));
    return SUCCESS;
}

int cudaDriverGetVersion(int *out) {
    TOLD("cudaDriverGetVersion");
    *out = atoi(setting("CUDART_STUB_VERSION", "10020"));
    return SUCCESS;
}

int cudaGetDeviceCount(int *out) {
    TOLD("cudaGetDeviceCount");
    *out = 1;
    return SUCCESS;
}

int cudaGetDevice(int *out) {
    TOLD("cudaGetDevice");
    *out = 0;
    return SUCCESS;
}

int cudaSetDevice(int device) {
    TOLD("cudaSetDevice");
    return device ? 101 : SUCCESS;
}

/* 75 and 76: compute capability, major and minor; 18: integrated, as a Jetson is. */
int cudaDeviceGetAttribute(int *out, int attribute, int device) {
    TOLD("cudaDeviceGetAttribute");
    int major = 0, minor = 0;
    sscanf(setting("CUDART_STUB_CAPABILITY", "5.3"), "%d.%d", &major, &minor);
    if (device)
        return 101;
    *out = attribute == 75 ? major : attribute == 76 ? minor : attribute == 18;
    return attribute == 75 || attribute == 76 || attribute == 18 ? SUCCESS : INVALID_VALUE;
}

static const struct { int number; const char *name, *text; } ERRORS[] = {
    {0, "cudaSuccess", "no error"},
    {1, "cudaErrorInvalidValue", "invalid argument"},
    {2, "cudaErrorMemoryAllocation", "out of memory"},
    {35, "cudaErrorInsufficientDriver", "CUDA driver version is insufficient for CUDA runtime version"},
    {100, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {101, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {400, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {600, "cudaErrorNotReady", "device not ready"},
    {700, "cudaErrorIllegalAddress", "an illegal memory access was encountered"},
};

static int at_error(int number) {
    for (size_t index = 0; index < sizeof ERRORS / sizeof *ERRORS; index++)
        if (ERRORS[index].number == number)
            return (int)index;
    return -1;
}

const char *cudaGetErrorName(int number) {
    return at_error(number) < 0 ? "unrecognized error code" : ERRORS[at_error(number)].name;
}

const char *cudaGetErrorString(int number) {
    return at_error(number) < 0 ? "unrecognized error code" : ERRORS[at_error(number)].text;
}

int cudaGetLastError(void) { return SUCCESS; }

#endif

#ifndef NO_DRIVER

int cuInit(unsigned flags) {
    TOLD("cuInit");
    return flags ? INVALID_VALUE : SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    TOLD("cuDeviceGet");
    *device = ordinal;
    return ordinal ? 101 : SUCCESS;
}

int cuDeviceGetName(char *out, int length, int device) {
    TOLD("cuDeviceGetName");
    snprintf(out, (size_t)length, "%s", setting("CUDART_STUB_NAME", "NVIDIA Tegra X1"));
    return device ? 101 : SUCCESS;
}

#endif
