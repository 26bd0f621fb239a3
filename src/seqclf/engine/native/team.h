/* A team of threads that share out the jobs of one pass. Which thread does a job must not matter to its result. */
#ifndef SEQCLF_TEAM_H
#define SEQCLF_TEAM_H
#include <stdint.h>

enum { MOST_THREADS = 64 };

typedef void (*JobFunction)(void *context, int64_t job, int thread);

/* Ask for up to `threads` threads, the caller included; return how many there are: 1 where others use the team. */
int team_begin(int threads);
/* Do jobs 0 to jobs - 1; return when all are done. `thread` is from 0 (the caller) to one less than there are. */
void team_run(int threads, int64_t jobs, JobFunction function, void *context);
/* Let the others sleep. */
void team_end(int threads);

#endif
