/* What this program is. */
#ifndef SH_API_VERSION_H
#define SH_API_VERSION_H

#ifndef SH_VERSION
#define SH_VERSION "0.1.0"
#endif

/* "wasmtime 40.0.4; surrealdb 3.3.5" (native_bridge.c, the one file that asks the native library)
 */
const char *sh_native_text(void);

#endif
