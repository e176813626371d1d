/* Removing what somebody else has filled. */
#ifndef SH_BASE_TREE_H
#define SH_BASE_TREE_H

/* The directory and all below it, however deep: paths may be longer than the system's longest, and
 * memory and descriptors stay few. Symbolic links are removed, never followed. What is not there is
 * no error. 0, or -errno of the first thing that stayed. thread: any, but blocks */
int sh_tree_remove(const char *path);

#endif
