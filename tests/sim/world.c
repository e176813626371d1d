/* See world.h. What the threads of the real program do at the same time is done here one after the
 * other, in an order that is drawn. A step of an agent and the work of a job are atomic; when they
 * begin, and when the loop hears of it, is not fixed. The order of messages is: an inbox keeps it.
 */
#include "sim/world.h"

#include "engine/executor.h"

/* The real clocks under other names, and sh_time_format. */
int64_t real_wall_us(void);
uint64_t real_boot_ns(void);
uint64_t real_mono_ns(void);
#define sh_wall_us real_wall_us
#define sh_boot_ns real_boot_ns
#define sh_mono_ns real_mono_ns
#include "base/time.c"
#undef sh_wall_us
#undef sh_boot_ns
#undef sh_mono_ns

#define BEGIN_US 1700000000000000

static struct {
    uint64_t random, steps;
    uint64_t boot_ns;
    int64_t wall_offset_us;
} world;

struct sh_executors {
    struct sh_loop *loop;
    struct sh_list queue;
    unsigned n;
};

struct timers {
    struct sh_timer **at; /* in the order of starting */
    size_t n, cap;
};

struct sh_loop {
    struct sh_msg *inbox, **inbox_end;
    struct sh_list jobs;
    struct timers timers;
    struct sh_executors *executors;
    void (*hook)(void *arg);
    void *hook_arg;
    bool drowsy; /* the hook has run and nothing came of it yet */
};

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t next_random(void) {
    uint64_t z = world.random += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t world_random(uint64_t below) {
    return next_random() % below;
}

void world_begin(uint64_t seed) {
    memset(&world, 0, sizeof(world));
    world.random = seed;
    world.boot_ns = 1000000000;
}

void world_clock_jump(int64_t us) {
    world.wall_offset_us += us;
}

uint64_t world_steps(void) {
    return world.steps;
}

int64_t world_real_ms(void) {
    return (int64_t)(real_mono_ns() / 1000000);
}

int64_t sh_wall_us(void) {
    return BEGIN_US + world.wall_offset_us + (int64_t)(world.boot_ns / 1000);
}

uint64_t sh_boot_ns(void) {
    return world.boot_ns;
}

uint64_t sh_mono_ns(void) {
    return world.boot_ns;
}

/* The linker sends sh_random_bytes here. */
void __wrap_sh_random_bytes(void *out, size_t n);
void __wrap_sh_random_bytes(void *out, size_t n) {
    uint8_t *to = out;

    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t)next_random();
    }
}

/* ---- the loop ---- */

int sh_loop_new(struct sh_loop **ret, struct sh_err *err) {
    struct sh_loop *l = sh_new(struct sh_loop);

    (void)err;
    l->inbox_end = &l->inbox;
    sh_list_init(&l->jobs);
    *ret = l;
    return 0;
}

struct sh_loop *sh_loop_free(struct sh_loop *l) {
    if (l) {
        SH_ASSERT(!l->inbox && sh_list_empty(&l->jobs) && !l->executors);
        sh_free(l->timers.at);
    }
    return sh_free(l);
}

bool sh_loop_is_current(const struct sh_loop *l) {
    return l != NULL;
}

void sh_loop_on_turn(struct sh_loop *l, void (*hook)(void *arg), void *arg) {
    SH_ASSERT(!hook || !l->hook);
    l->hook = hook;
    l->hook_arg = arg;
}

void sh_loop_post(struct sh_loop *l, struct sh_msg *msg) {
    msg->next = NULL;
    *l->inbox_end = msg;
    l->inbox_end = &msg->next;
}

static void run_inbox(struct sh_loop *l) {
    struct sh_msg *msg = l->inbox;

    l->inbox = NULL;
    l->inbox_end = &l->inbox;
    while (msg) {
        struct sh_msg *next = msg->next; /* run() may free msg or post it again */

        msg->next = NULL;
        msg->run(msg);
        msg = next;
    }
}

static void renumber(struct timers *ts, size_t from) {
    for (size_t i = from; i < ts->n; i++) {
        ts->at[i]->slot = i + 1;
    }
}

void sh_timer_stop(struct sh_timer *t) {
    if (t->slot) {
        struct timers *ts = &t->loop->timers;
        size_t i = t->slot - 1;

        SH_ASSERT(i < ts->n && ts->at[i] == t);
        memmove(&ts->at[i], &ts->at[i + 1], (--ts->n - i) * sizeof(*ts->at));
        t->slot = 0;
        renumber(ts, i);
    }
}

void sh_timer_start(struct sh_loop *l, struct sh_timer *t, uint64_t delay_ns,
                    void (*fn)(struct sh_timer *t)) {
    struct timers *ts = &l->timers;

    sh_timer_stop(t);
    if (ts->n == ts->cap) {
        ts->cap = ts->cap ? 2 * ts->cap : 64;
        ts->at = sh_grow(ts->at, ts->cap * sizeof(*ts->at));
    }
    t->loop = l;
    t->fn = fn;
    t->due_ns = delay_ns < INT64_MAX - world.boot_ns ? world.boot_ns + delay_ns : INT64_MAX;
    ts->at[ts->n++] = t;
    t->slot = ts->n;
}

static struct sh_timer *first_timer(const struct timers *ts) {
    struct sh_timer *first = NULL;

    for (size_t i = 0; i < ts->n; i++) {
        first = !first || ts->at[i]->due_ns < first->due_ns ? ts->at[i] : first;
    }
    return first;
}

void sh_loop_submit(struct sh_loop *l, enum sh_pool pool, struct sh_job *job) {
    (void)pool;
    job->loop = l;
    memset(&job->link, 0, sizeof(job->link));
    sh_list_push(&l->jobs, &job->link);
}

static void job_done(struct sh_msg *msg) {
    struct sh_job *job = sh_container_of(msg, struct sh_job, msg);

    job->done(job);
}

static struct sh_list *draw(struct sh_list *from) {
    struct sh_list *drawn = from->next;
    uint64_t n = 0;

    sh_list_each (node, from) {
        n++;
        drawn = world_random(n) == 0 ? node : drawn;
    }
    sh_list_unlink(drawn);
    return drawn;
}

static void run_job(struct sh_loop *l) {
    struct sh_job *job = sh_container_of(draw(&l->jobs), struct sh_job, link);

    job->work(job);
    job->msg.run = job_done;
    sh_loop_post(l, &job->msg);
}

/* ---- the executors ---- */

int sh_executors_new(struct sh_loop *loop, unsigned n, struct sh_executors **ret,
                     struct sh_err *err) {
    struct sh_executors *x = sh_new(struct sh_executors);

    (void)err;
    x->loop = loop;
    x->n = n ? n : 1;
    sh_list_init(&x->queue);
    loop->executors = x;
    *ret = x;
    return 0;
}

static void give_back(struct sh_executors *x, struct sh_task *task) {
    sh_loop_post(x->loop, &task->msg);
}

struct sh_executors *sh_executors_free(struct sh_executors *x) {
    if (x) {
        while (!sh_list_empty(&x->queue)) {
            struct sh_task *task = sh_container_of(sh_list_pop(&x->queue), struct sh_task, link);

            task->status = SH_AGENT_YIELDED;
            give_back(x, task);
        }
        x->loop->executors = NULL;
    }
    return sh_free(x);
}

void sh_executors_watch(struct sh_executors *x, struct sh_crash *c) {
    (void)x;
    (void)c;
}

unsigned sh_executors_count(const struct sh_executors *x) {
    return x->n;
}

static void stepped(struct sh_msg *msg) {
    struct sh_task *task = sh_container_of(msg, struct sh_task, msg);

    task->stepped(task);
}

void sh_executors_run(struct sh_executors *x, struct sh_task *task) {
    task->msg.run = stepped;
    task->executors = x;
    atomic_store(&task->interrupt, false);
    sh_list_push(&x->queue, &task->link);
}

void sh_task_interrupt(struct sh_task *task) {
    atomic_store(&task->interrupt, true);
}

static void run_step(struct sh_executors *x) {
    struct sh_task *task = sh_container_of(draw(&x->queue), struct sh_task, link);
    size_t n_effects = 0;

    task->status = sh_agent_step(task->agent);
    sh_agent_effects(task->agent, &n_effects);
    if (task->status == SH_AGENT_YIELDED && n_effects == 0 && !atomic_load(&task->interrupt)) {
        sh_list_push(&x->queue, &task->link);
    } else {
        give_back(x, task);
    }
}

/* ---- what happens next ---- */

static void run_hook(struct sh_loop *l) {
    if (l->hook) {
        l->hook(l->hook_arg);
    }
}

enum choice { INBOX, TIMER, STEP, JOB, CHOICES };

static size_t possible(const struct sh_loop *l, const struct sh_timer *due,
                       enum choice ret[CHOICES]) {
    size_t n = 0;

    if (l->inbox) {
        ret[n++] = INBOX;
    }
    if (due && due->due_ns <= world.boot_ns) {
        ret[n++] = TIMER;
    }
    if (l->executors && !sh_list_empty(&l->executors->queue)) {
        ret[n++] = STEP;
    }
    if (!sh_list_empty(&l->jobs)) {
        ret[n++] = JOB;
    }
    return n;
}

bool world_turn(struct sh_loop *l) {
    struct sh_timer *due = first_timer(&l->timers);
    enum choice choices[CHOICES];
    size_t n = possible(l, due, choices);

    world.steps++;
    if (n == 0 && !l->drowsy) {
        l->drowsy = true;
        run_hook(l); /* before it sleeps; who watches may have more for it to do */
        return true;
    }
    l->drowsy = false;
    if (n == 0) {
        world.boot_ns = due ? due->due_ns : world.boot_ns;
        return due != NULL;
    }
    world.boot_ns += world_random(50000);
    switch (choices[world_random(n)]) {
    case INBOX:
        run_inbox(l);
        break;
    case TIMER:
        sh_timer_stop(due);
        due->fn(due);
        break;
    case STEP:
        run_step(l->executors);
        return true;
    case JOB:
    default:
        run_job(l);
        return true;
    }
    if (world_random(2)) {
        run_hook(l);
    }
    return true;
}
