/* nbody N: N steps of the five-body problem of the Computer Language Benchmarks Game. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BODIES 5
#define YEAR 365.24
#define SUN (4 * 3.141592653589793 * 3.141592653589793)

struct body {
    double x[3], v[3], mass;
};

static struct body bodies[BODIES] = {
    {{0, 0, 0}, {0, 0, 0}, SUN},
    {{4.84143144246472090, -1.16032004402742839, -0.103622044471123109},
     {0.00166007664274403694 * YEAR, 0.00769901118419740425 * YEAR,
      -0.0000690460016972063023 * YEAR},
     0.000954791938424326609 * SUN},
    {{8.34336671824457987, 4.12479856412430479, -0.403523417114321381},
     {-0.00276742510726411054 * YEAR, 0.00499852801234917238 * YEAR,
      0.0000230417297573763929 * YEAR},
     0.000285885980666130812 * SUN},
    {{12.8943695621391310, -15.1111514016986312, -0.223307578892655734},
     {0.00296460137564761618 * YEAR, 0.00237847173959480950 * YEAR,
      -0.0000296589568540237556 * YEAR},
     0.0000436624404335156298 * SUN},
    {{15.3796971148509165, -25.9193146099879641, 0.179258772950371181},
     {0.00268067772490389322 * YEAR, 0.00162824170038242295 * YEAR,
      -0.0000951592254519715870 * YEAR},
     0.0000515138902046611451 * SUN}};

static void attract(struct body *a, struct body *b, double dt) {
    double d[3], square = 0, pull;

    for (int i = 0; i < 3; i++) {
        d[i] = a->x[i] - b->x[i];
        square += d[i] * d[i];
    }
    pull = dt / (square * sqrt(square));
    for (int i = 0; i < 3; i++) {
        a->v[i] -= d[i] * b->mass * pull;
        b->v[i] += d[i] * a->mass * pull;
    }
}

static void advance(double dt) {
    for (int a = 0; a < BODIES; a++) {
        for (int b = a + 1; b < BODIES; b++) {
            attract(&bodies[a], &bodies[b], dt);
        }
    }
    for (int a = 0; a < BODIES; a++) {
        for (int i = 0; i < 3; i++) {
            bodies[a].x[i] += dt * bodies[a].v[i];
        }
    }
}

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 0;

    for (long i = 0; i < n; i++) {
        advance(0.01);
    }
    printf("%.9f\n", bodies[1].x[0]);
    return 0;
}
