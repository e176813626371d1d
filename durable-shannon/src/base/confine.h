/* The compile worker's cage. */
#ifndef SH_BASE_CONFINE_H
#define SH_BASE_CONFINE_H

/* From here on this process can use memory, its own threads and the descriptors that it has;
 * nothing else. Not to be undone. -1: errno says why. */
int sh_confine(void);

#endif
