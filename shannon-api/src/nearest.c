/* Levenshtein distance over short words, one row at a time. */
#include "nearest.h"

#include <stdint.h>
#include <string.h>

#define WORD_MAX 63

static size_t min3(size_t a, size_t b, size_t c) {
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

static size_t distance(const char *a, size_t n, const char *b, size_t m) {
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= m; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t above = row[j];
            row[j] = min3(above + 1, row[j - 1] + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[m];
}

const char *sh_nearest(const char *word, const char *const known[]) {
    size_t n = strlen(word);
    if (n > WORD_MAX) {
        return NULL;
    }
    const char *best = NULL;
    size_t best_distance = n / 3 + 2;
    for (size_t i = 0; known[i]; i++) {
        size_t m = strlen(known[i]);
        if (m > WORD_MAX) {
            continue;
        }
        size_t d = distance(word, n, known[i], m);
        if (d < best_distance) {
            best_distance = d;
            best = known[i];
        }
    }
    return best;
}
