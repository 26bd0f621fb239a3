#include "team.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

/* Threads are started when first asked for, and sleep between passes. Within a pass, in which one batch of jobs follows
   the other by microseconds, they look for work a little while before they sleep. After a fork the child has none of
   them, so it starts its own. */

#ifdef _WIN32
#include <windows.h>
typedef SRWLOCK Mutex;
typedef CONDITION_VARIABLE Condition;
#define MUTEX_INIT SRWLOCK_INIT
#define CONDITION_INIT CONDITION_VARIABLE_INIT
#define lock(m) AcquireSRWLockExclusive(m)
#define unlock(m) ReleaseSRWLockExclusive(m)
#define wait_for(c, m) SleepConditionVariableSRW(c, m, INFINITE, 0)
#define wake_all(c) WakeAllConditionVariable(c)
#define THREAD_RESULT DWORD WINAPI
static int start_thread(DWORD(WINAPI *function)(void *), void *argument) {
    HANDLE handle = CreateThread(NULL, 0, function, argument, 0, NULL);
    if (!handle) return 0;
    CloseHandle(handle);
    return 1;
}
#else
#include <pthread.h>
#include <signal.h>
typedef pthread_mutex_t Mutex;
typedef pthread_cond_t Condition;
#define MUTEX_INIT PTHREAD_MUTEX_INITIALIZER
#define CONDITION_INIT PTHREAD_COND_INITIALIZER
#define lock(m) pthread_mutex_lock(m)
#define unlock(m) pthread_mutex_unlock(m)
#define wait_for(c, m) pthread_cond_wait(c, m)
#define wake_all(c) pthread_cond_broadcast(c)
#define THREAD_RESULT void *
static int start_thread(void *(*function)(void *), void *argument) {
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all); /* signals are for Python's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, NULL, function, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) return 0;
    pthread_detach(thread);
    return 1;
}
#endif

#if defined(__x86_64__) || defined(_M_X64)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE()
#endif

#ifndef LOOKS
#define LOOKS 4000 /* some 20 to 50 microseconds */
#endif

static struct Team {
    atomic_int taken;         /* whether a pass uses the team */
    int started;              /* threads besides the caller */
    Mutex mutex;
    Condition work, done;
    _Atomic int64_t round;        /* counts batches of jobs; its low byte says how many threads a batch is for */
    atomic_int in_pass;       /* whether another batch may follow soon */
    atomic_int busy;          /* threads that may still work on the batch */
    _Atomic int64_t next;         /* the next job */
    int64_t jobs;
    JobFunction function;
    void *context;
} team = {.mutex = MUTEX_INIT, .work = CONDITION_INIT, .done = CONDITION_INIT};

#ifndef _WIN32
static void forget_threads(void) { team = (struct Team){.mutex = MUTEX_INIT, .work = CONDITION_INIT, .done = CONDITION_INIT}; }

__attribute__((constructor)) static void watch_forks(void) { pthread_atfork(NULL, NULL, forget_threads); }
#endif

static void do_jobs(int thread) {
    for (int64_t job; (job = atomic_fetch_add(&team.next, 1)) < team.jobs;) team.function(team.context, job, thread);
}

static THREAD_RESULT serve(void *argument) {
    int thread = (int)(intptr_t)argument;
    int64_t seen = 0;
    for (;;) {
        for (int look = 0; look < LOOKS && atomic_load(&team.in_pass) && atomic_load(&team.round) == seen; look++) PAUSE();
        if (atomic_load(&team.round) == seen) {
            lock(&team.mutex);
            while (atomic_load(&team.round) == seen) wait_for(&team.work, &team.mutex);
            unlock(&team.mutex);
        }
        seen = atomic_load(&team.round);
        if (thread >= (seen & 255)) continue;
        do_jobs(thread);
        if (atomic_fetch_sub(&team.busy, 1) == 1) {
            lock(&team.mutex);
            wake_all(&team.done);
            unlock(&team.mutex);
        }
    }
    return 0; /* never */
}

int team_begin(int threads) {
    if (threads < 2) return 1;
    if (atomic_exchange(&team.taken, 1)) return 1;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    while (team.started < threads - 1 && start_thread(serve, (void *)(intptr_t)(team.started + 1))) team.started++;
    if (threads > team.started + 1) threads = team.started + 1;
    if (threads < 2) {
        atomic_store(&team.taken, 0);
        return 1;
    }
    atomic_store(&team.in_pass, 1);
    return threads;
}

void team_run(int threads, int64_t jobs, JobFunction function, void *context) {
    if (threads < 2 || jobs < 2) {
        for (int64_t job = 0; job < jobs; job++) function(context, job, 0);
        return;
    }
    lock(&team.mutex);
    team.function = function;
    team.context = context;
    team.jobs = jobs;
    atomic_store(&team.next, 0);
    atomic_store(&team.busy, threads - 1);
    atomic_store(&team.round, ((atomic_load(&team.round) >> 8) + 1) << 8 | threads);
    wake_all(&team.work);
    unlock(&team.mutex);
    do_jobs(0);
    for (int look = 0; look < LOOKS && atomic_load(&team.busy); look++) PAUSE();
    if (atomic_load(&team.busy)) {
        lock(&team.mutex);
        while (atomic_load(&team.busy)) wait_for(&team.done, &team.mutex);
        unlock(&team.mutex);
    }
}

void team_end(int threads) {
    if (threads < 2) return;
    atomic_store(&team.in_pass, 0);
    atomic_store(&team.taken, 0);
}
