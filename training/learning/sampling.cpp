// Weighted bilinear samples of multi-scale maps and their gradients, for training on a CPU; called by sampling.py.
//
// value [B, S, heads, D], locations [B, T, heads, levels, points, 2] as fractions (x, y), weights [B, T, heads, levels,
// points], out [B, T, heads, D]; all float32 and contiguous. `maps` holds height, width, first row of every level.
// Images first..last of the batch are worked on, so that threads can share the batch without sharing results.
#include <cmath>
#include <cstdint>

namespace {

struct Shape {
    int64_t rows, queries, heads, levels, points;
    const int64_t* maps;
};

struct Corner {
    int64_t row;           // of value
    float share;           // bilinear weight
    float along_x, along_y;  // derivative of the share by the position in pixels
};

// The up to four cells around a location that lie inside the map.
inline int around(const Shape& shape, int64_t level, float x, float y, Corner* corners) {
    const int64_t height = shape.maps[3 * level], width = shape.maps[3 * level + 1], start = shape.maps[3 * level + 2];
    const float px = x * width - 0.5f, py = y * height - 0.5f;
    if (!(px > -1 && py > -1 && px < width && py < height)) return 0;
    const float fx = std::floor(px), fy = std::floor(py), dx = px - fx, dy = py - fy;
    const int64_t column = int64_t(fx), line = int64_t(fy);
    int found = 0;
    for (int j = 0; j < 2; ++j) {
        if (line + j < 0 || line + j >= height) continue;
        const float sy = j ? dy : 1 - dy;
        for (int i = 0; i < 2; ++i) {
            if (column + i < 0 || column + i >= width) continue;
            const float sx = i ? dx : 1 - dx;
            corners[found++] = {start + (line + j) * width + column + i, sx * sy, i ? sy : -sy, j ? sx : -sx};
        }
    }
    return found;
}

template <int D>
void sample(const float* value, const float* locations, const float* weights, float* out, Shape s, int64_t first, int64_t last) {
    const int64_t samples = s.levels * s.points, stride = s.heads * D;
    Corner corners[4];
    for (int64_t i = first * s.queries * s.heads; i < last * s.queries * s.heads; ++i) {
        const float* source = value + (i / (s.queries * s.heads)) * s.rows * stride + (i % s.heads) * D;
        float sum[D] = {};
        for (int64_t k = 0; k < samples; ++k) {
            const float* place = locations + 2 * (i * samples + k);
            const int count = around(s, k / s.points, place[0], place[1], corners);
            for (int c = 0; c < count; ++c) {
                const float* cell = source + corners[c].row * stride;
                const float share = weights[i * samples + k] * corners[c].share;
                for (int d = 0; d < D; ++d) sum[d] += share * cell[d];
            }
        }
        for (int d = 0; d < D; ++d) out[i * D + d] = sum[d];
    }
}

template <int D>
void gradients(const float* value, const float* locations, const float* weights, const float* out_gradient,
               float* value_gradient, float* location_gradient, float* weight_gradient, Shape s, int64_t first, int64_t last) {
    const int64_t samples = s.levels * s.points, stride = s.heads * D;
    Corner corners[4];
    for (int64_t i = first * s.queries * s.heads; i < last * s.queries * s.heads; ++i) {
        const int64_t offset = (i / (s.queries * s.heads)) * s.rows * stride + (i % s.heads) * D;
        float wanted[D];
        for (int d = 0; d < D; ++d) wanted[d] = out_gradient[i * D + d];
        for (int64_t k = 0; k < samples; ++k) {
            const int64_t level = k / s.points, at = i * samples + k;
            const int count = around(s, level, locations[2 * at], locations[2 * at + 1], corners);
            float by_weight = 0, by_x = 0, by_y = 0;
            for (int c = 0; c < count; ++c) {
                const float* cell = value + offset + corners[c].row * stride;
                float* target = value_gradient + offset + corners[c].row * stride;
                const float share = weights[at] * corners[c].share;
                float product = 0;
                for (int d = 0; d < D; ++d) product += wanted[d] * cell[d];
                for (int d = 0; d < D; ++d) target[d] += share * wanted[d];
                by_weight += product * corners[c].share;
                by_x += product * corners[c].along_x;
                by_y += product * corners[c].along_y;
            }
            weight_gradient[at] = by_weight;
            location_gradient[2 * at] = weights[at] * by_x * s.maps[3 * level + 1];
            location_gradient[2 * at + 1] = weights[at] * by_y * s.maps[3 * level];
        }
    }
}

}  // namespace

extern "C" {

// Width of a head that was asked for when compiling.
void sample_forward(const float* value, const float* locations, const float* weights, float* out, int64_t rows, int64_t queries,
                    int64_t heads, int64_t levels, int64_t points, const int64_t* maps, int64_t first, int64_t last) {
    sample<WIDTH>(value, locations, weights, out, {rows, queries, heads, levels, points, maps}, first, last);
}

void sample_backward(const float* value, const float* locations, const float* weights, const float* out_gradient,
                     float* value_gradient, float* location_gradient, float* weight_gradient, int64_t rows, int64_t queries,
                     int64_t heads, int64_t levels, int64_t points, const int64_t* maps, int64_t first, int64_t last) {
    gradients<WIDTH>(value, locations, weights, out_gradient, value_gradient, location_gradient, weight_gradient,
                     {rows, queries, heads, levels, points, maps}, first, last);
}
}
