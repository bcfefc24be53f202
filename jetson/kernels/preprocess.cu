/* From a camera's frame to the network's input tensor: legoclf/preprocess.py's fit_reference, to the bit.
 *
 * Whole-number arithmetic alone: the sums and the rounding are those of the reference, and the value of each
 * of the 256 levels comes from a table that the host made, in FP32 or FP16. So nothing depends on how a GPU
 * contracts or rounds, and no header is needed.
 *
 * Two kernels, launched one after the other on one stream:
 *   block_means   frame -> scratch: step 4a of docs/bundle.md, only where both sides are at least halved. In one
 *                 kernel with what follows, each mean would be taken 2 to 4 times over.
 *   fit           frame or scratch -> tensor: steps 3, 4b and 4c, border, colour order, scale, layout
 *
 * The language is what C and CUDA C++ share, and what NVRTC of CUDA 10.2 takes: the tests compile this file for
 * the CPU. The structures are mirrored in jetson/kernel_parameters.py. */

#ifdef __cplusplus
#define KERNEL extern "C" __global__
#else
#define KERNEL __global__
#endif

enum { BGR = 0, BGRX = 1, NV12 = 2, YUYV = 3, RGBX = 4 };

typedef struct {
    const unsigned char *data;
    int format;
    int stride;     /* bytes from one row to the next */
    int rows;       /* of luma or of pixels, in the whole frame: NV12's chroma stands below them */
    int left, top;  /* of the part that is used */
    int width, height;
} Image;

typedef struct {
    Image image; /* the part is a whole number of blocks */
    unsigned int *means; /* [height / side, width / side], 0x00BBGGRR */
    int side;
} BlockMeans;

typedef struct {
    Image image;
    const void *values; /* of the 256 levels, float or half */
    void *tensor;       /* [3, out_height, out_width] of the same type */
    int half;
    int bgr;
    int out_width, out_height;
    int left, top, size_width, size_height; /* where the image goes; outside is level 0 */
    int shrunk_width, shrunk_height;        /* after exact averaging, before interpolation */
} Fit;

typedef struct {
    int r, g, b;
} Levels;

typedef struct {
    unsigned int r, g, b;
} Sums;

typedef struct {
    unsigned long long r, g, b;
} LongSums;

/* A neighbour of a place and its weight, in units of 1 / (2 * out). */
typedef struct {
    int at;
    unsigned int weight;
} Tap;

__device__ static int clamped(int value, int low, int high) {
    return value < low ? low : value > high ? high : value;
}

__device__ static int level_of(int fixed) {
    return fixed < 0 ? 0 : clamped(fixed >> 20, 0, 255);
}

/* BT.601, limited range. The factors are 1.164, 1.596, 0.813, 0.391 and 2.018 in units of 2^-20, which is how
 * OpenCV's cvtColor computes COLOR_YUV2BGR_NV12 and _YUYV. */
__device__ static Levels from_yuv(int y, int u, int v) {
    Levels levels;
    int luma = (y > 16 ? y - 16 : 0) * 1220542 + (1 << 19);
    u -= 128;
    v -= 128;
    levels.r = level_of(luma + 1673527 * v);
    levels.g = level_of(luma - 852492 * v - 409993 * u);
    levels.b = level_of(luma + 2116026 * u);
    return levels;
}

/* The pixel at a place of the part that is used. */
__device__ static Levels pixel(const Image *image, int x, int y) {
    Levels levels;
    const unsigned char *row, *chroma;
    x += image->left;
    y += image->top;
    row = image->data + (long long)y * image->stride;
    if (image->format == RGBX) {
        unsigned int word = ((const unsigned int *)row)[x];
        levels.r = word & 255;
        levels.g = word >> 8 & 255;
        levels.b = word >> 16 & 255;
        return levels;
    }
    if (image->format == NV12) {
        chroma = image->data + (long long)(image->rows + y / 2) * image->stride + (x & ~1);
        return from_yuv(row[x], chroma[0], chroma[1]);
    }
    if (image->format == YUYV) {
        chroma = row + (x & ~1) * 2;
        return from_yuv(row[x * 2], chroma[1], chroma[3]);
    }
    row += x * (image->format == BGR ? 3 : 4);
    levels.b = row[0];
    levels.g = row[1];
    levels.r = row[2];
    return levels;
}

/* The quotient rounded half up. A GPU divides 32 bits several times faster than 64, and nearly always they do. */
__device__ static int rounded(unsigned long long sum, unsigned long long divisor) {
    if (divisor <= 0xFFFFFFFFu / 511)
        return (int)((2 * (unsigned int)sum + (unsigned int)divisor) / (2 * (unsigned int)divisor));
    return (int)((2 * sum + divisor) / (2 * divisor));
}

__device__ static void add(LongSums *total, Sums row, unsigned int weight) {
    total->r += (unsigned long long)row.r * weight;
    total->g += (unsigned long long)row.g * weight;
    total->b += (unsigned long long)row.b * weight;
}

__device__ static Levels mean(LongSums total, unsigned long long divisor) {
    Levels levels;
    levels.r = rounded(total.r, divisor);
    levels.g = rounded(total.g, divisor);
    levels.b = rounded(total.b, divisor);
    return levels;
}

/* The mean of what one pixel of the shrunk image covers, cut pixels by their covered share. */
__device__ static Levels shrunk(const Fit *fit, int column, int row) {
    const Image *image = &fit->image;
    const int width = fit->shrunk_width, height = fit->shrunk_height;
    /* The edges, in units of 1 / width and 1 / height of a pixel of the image. */
    const int left = column * image->width, right = left + image->width;
    const int top = row * image->height, bottom = top + image->height;
    LongSums total = {0, 0, 0};
    int x, y;
    if (width == image->width && height == image->height)
        return pixel(image, column, row);
    for (y = top / height; y * height < bottom; y++) {
        const int low = y * height, high = low + height;
        Sums sums = {0, 0, 0};
        for (x = left / width; x * width < right; x++) {
            const int begin = x * width, end = begin + width;
            const unsigned int weight = (end < right ? end : right) - (begin > left ? begin : left);
            const Levels levels = pixel(image, x, y);
            sums.r += weight * levels.r;
            sums.g += weight * levels.g;
            sums.b += weight * levels.b;
        }
        add(&total, sums, (high < bottom ? high : bottom) - (low > top ? low : top));
    }
    return mean(total, (unsigned long long)image->width * image->height);
}

/* The lower or upper neighbour of an output pixel's centre: centres at half-integers, edges repeated. */
__device__ static Tap tap(int place, int length, int out, int upper) {
    const int centre = (2 * place + 1) * length - out;
    const int lower = centre < 0 ? -1 : centre / (2 * out);
    const int fraction = centre - lower * 2 * out;
    Tap one;
    one.at = clamped(lower + upper, 0, length - 1);
    one.weight = upper ? fraction : 2 * out - fraction;
    return one;
}

__device__ static Levels enlarged(const Fit *fit, int column, int row) {
    const int width = fit->size_width, height = fit->size_height;
    LongSums total = {0, 0, 0};
    int x, y;
    if (width == fit->shrunk_width && height == fit->shrunk_height)
        return shrunk(fit, column, row);
    for (y = 0; y < 2; y++) {
        const Tap down = tap(row, fit->shrunk_height, height, y);
        Sums sums = {0, 0, 0};
        for (x = 0; x < 2; x++) {
            const Tap across = tap(column, fit->shrunk_width, width, x);
            Levels levels;
            if (!down.weight || !across.weight)
                continue;
            levels = shrunk(fit, across.at, down.at);
            sums.r += across.weight * levels.r;
            sums.g += across.weight * levels.g;
            sums.b += across.weight * levels.b;
        }
        add(&total, sums, down.weight);
    }
    return mean(total, 4ull * width * height);
}

/* One thread for each block. */
KERNEL void block_means(BlockMeans of) {
    const int columns = of.image.width / of.side, rows = of.image.height / of.side;
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    LongSums total = {0, 0, 0};
    Levels levels;
    int x, y;
    if (column >= columns || row >= rows)
        return;
    for (y = 0; y < of.side; y++) {
        Sums sums = {0, 0, 0};
        for (x = 0; x < of.side; x++) {
            levels = pixel(&of.image, column * of.side + x, row * of.side + y);
            sums.r += levels.r;
            sums.g += levels.g;
            sums.b += levels.b;
        }
        add(&total, sums, 1);
    }
    levels = mean(total, (unsigned long long)of.side * of.side);
    of.means[(long long)row * columns + column] = levels.r | levels.g << 8 | levels.b << 16;
}

__device__ static void put(const Fit *fit, int plane, long long place, int level) {
    place += (long long)plane * fit->out_width * fit->out_height;
    if (fit->half)
        ((unsigned short *)fit->tensor)[place] = ((const unsigned short *)fit->values)[level];
    else
        ((float *)fit->tensor)[place] = ((const float *)fit->values)[level];
}

/* One thread for each pixel of the tensor. */
KERNEL void fit(Fit of) {
    const int column = blockIdx.x * blockDim.x + threadIdx.x, row = blockIdx.y * blockDim.y + threadIdx.y;
    const int x = column - of.left, y = row - of.top;
    const long long place = (long long)row * of.out_width + column;
    Levels levels = {0, 0, 0};
    if (column >= of.out_width || row >= of.out_height)
        return;
    if (x >= 0 && y >= 0 && x < of.size_width && y < of.size_height)
        levels = enlarged(&of, x, y);
    put(&of, 0, place, of.bgr ? levels.b : levels.r);
    put(&of, 1, place, levels.g);
    put(&of, 2, place, of.bgr ? levels.r : levels.b);
}
