/* A world in one thread: the clocks, the loop with its timers and pools, and the executors, as
 * second implementations that a simulation links instead of the real ones. Time stands still until
 * nothing can be done, then it goes to the next timer; which of several possible things happens
 * next is drawn from the seed, so that a seed is a history. */
#ifndef SH_TESTS_SIM_WORLD_H
#define SH_TESTS_SIM_WORLD_H

#include "loop/loop.h"

void world_begin(uint64_t seed);
uint64_t world_random(uint64_t below); /* below > 0 */
/* The wall clock is set; CLOCK_BOOTTIME goes on. */
void world_clock_jump(int64_t us);
uint64_t world_steps(void); /* since world_begin */

/* Carry out one thing that can happen now: messages, due timers, an agent's step, a job. With
 * nothing to do, time goes on. False: nothing will ever happen again. */
bool world_turn(struct sh_loop *l);

int64_t world_real_ms(void); /* of the machine, for time limits */

#endif
