/* Every maximum of the program, with its reason. Each has a test at it and one past it. */
#ifndef SH_BASE_LIMITS_H
#define SH_BASE_LIMITS_H

#define SH_KIB (1024ULL)
#define SH_MIB (1024ULL * 1024)
#define SH_GIB (1024ULL * 1024 * 1024)

/* JSON */
#define SH_JSON_DEPTH_MAX 64           /* deeper text is an attack on recursive readers */
#define SH_JSON_TEXT_MAX (64 * SH_MIB) /* our own documents; a journal page is the largest */

/* Journal */
#define SH_EVENT_BODY_MAX (8 * SH_MIB) /* one record, so that a page fits memory */
#define SH_JOURNAL_BYTES_DEFAULT (64 * SH_MIB)
#define SH_BATCH_BYTES_MAX (16 * SH_MIB) /* one transaction */
#define SH_BATCH_RECORDS_MAX 4096
#define SH_JOURNAL_PAGE 512 /* events a read takes at once */

/* Activities */
#define SH_ACTIVITY_ARGS_MAX (1 * SH_MIB)   /* one request of a guest */
#define SH_ACTIVITY_RESULT_MAX (4 * SH_MIB) /* one answer, as JSON */
#define SH_ACTIVITIES_DEFAULT 1000
#define SH_PARALLEL_ACTIVITIES_DEFAULT 16
#define SH_PARALLEL_ACTIVITIES_MAX 256 /* open handles of one agent */
#define SH_INPUT_MAX (1 * SH_MIB)      /* a task's input as JSON */
#define SH_QUERY_CHARS_MAX 10000       /* API.md: characters, not bytes */

/* Agents */
#define SH_FUEL_DEFAULT 10000000000ULL
#define SH_MEMORY_DEFAULT (256 * SH_MIB)
#define SH_MEMORY_MAX (4 * SH_GIB)
#define SH_WALL_CLOCK_DEFAULT_MS 600000ULL
#define SH_OUTPUT_DEFAULT (8 * SH_MIB) /* stdout and stderr together */
#define SH_WORKSPACE_DEFAULT (256 * SH_MIB)
#define SH_WORKSPACE_FILES_MAX 65536
#define SH_DESCRIPTORS_MAX 1024 /* open descriptors of one agent */
#define SH_IOVECS_MAX 1024      /* as Linux IOV_MAX */
#define SH_PATH_MAX 4096
#define SH_SUBSCRIPTIONS_MAX 4096           /* of one poll_oneoff */
#define SH_ARGS_BYTES_MAX (128 * SH_KIB)    /* argv and environment of one agent */
#define SH_EFFECTS_BYTES_MAX (256 * SH_KIB) /* of one slice, before the agent must hand over */
#define SH_EFFECTS_MAX 1024
#define SH_MOUNTS_MAX 32
#define SH_EMIT_MAX (64 * SH_KIB)      /* one emit or publish */
#define SH_CHECKPOINT_MAX (4 * SH_MIB) /* state of one checkpoint */
#define SH_DEV_LINE_MAX (1 * SH_MIB)   /* one request line on /dev/shannon */
#define SH_MODULE_BYTES_MAX (64 * SH_MIB)
#define SH_SLICE_FUEL 20000000ULL /* time slice: roughly 10 ms of guest code */

/* Policy */
#define SH_CAPABILITY_ITEMS_MAX 256 /* tools, rules or variables of one document */
#define SH_POLICY_RULES_MAX 1024
#define SH_EXPLAIN_ROWS_MAX 4096            /* of one explanation: nobody reads more */
#define SH_MOUNT_BYTES_DEFAULT (1 * SH_GIB) /* a grant to write that names no amount */

/* Tools */
#define SH_EXPRESSION_CHARS_MAX 1000
#define SH_EXPRESSION_DEPTH_MAX 64        /* the calculator recurses */
#define SH_SCHEMA_DEPTH_MAX 16            /* our own schemas are flatter */
#define SH_LLM_RESPONSE_MAX (32 * SH_MIB) /* streamed: frames are many times their text */
#define SH_SSE_EVENT_MAX (1 * SH_MIB)     /* one event of a stream */
#define SH_TOOL_CALLS_MAX 128             /* in one answer of a model */
#define SH_SECRET_MAX 4096                /* bytes of an API key */

/* Server */
#define SH_HTTP_BODY_MAX (16 * SH_MIB)
#define SH_HTTP_MODULE_BODY_MAX SH_MODULE_BYTES_MAX

/* HTTP requests of ours */
#define SH_HTTP_HEADER_BYTES_MAX (256 * SH_KIB) /* of one response, interim ones included */
#define SH_HTTP_URL_MAX (64 * SH_KIB)
#define SH_HTTP_RETRY_AFTER_MAX_MS 86400000ULL /* a day: what a server may ask us to wait */

#endif
