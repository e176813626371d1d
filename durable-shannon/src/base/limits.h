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
#define SH_JOURNAL_PAGE 512                  /* events a read takes at once */
#define SH_EXPORT_MAX (16 * SH_GIB)          /* an exported task, as a file */
#define SH_EXPORT_MANIFEST_MAX (16 * SH_MIB) /* of it, in memory: some 90,000 files */

/* Activities */
#define SH_ACTIVITY_ARGS_MAX (1 * SH_MIB)   /* one request of a guest */
#define SH_ACTIVITY_RESULT_MAX (4 * SH_MIB) /* one answer, as JSON */
/* of a child, as a value in its parent's answer: beside its status and usage */
#define SH_CHILD_OUTPUT_MAX (SH_ACTIVITY_RESULT_MAX - 64 * SH_KIB)
#define SH_OUTPUT_MAX (1 * SH_MIB) /* a task's result in its event, which has it twice */
#define SH_ACTIVITIES_DEFAULT 1000
#define SH_PARALLEL_ACTIVITIES_DEFAULT 16
#define SH_PARALLEL_ACTIVITIES_MAX 256 /* open handles of one agent */
#define SH_INPUT_MAX (1 * SH_MIB)      /* a task's input as JSON, in its event; a larger one: */
#define SH_PAYLOAD_MAX (64 * SH_MIB)   /* kept beside the journal, as text: input or result */
#define SH_WORKFLOW_DEPTH_MAX 4        /* children of children: deeper is a loop, not a plan */
#define SH_PYTHON_OUTPUT_MAX SH_MIB    /* of each stream, in the answer of the op python */
#define SH_QUERY_CHARS_MAX 10000       /* API.md: characters, not bytes */

#define SH_COMPENSATIONS_MAX 256 /* of one workflow: their events go beyond its journal's limit */

/* What a session keeps */
#define SH_KV_KEY_MAX 512
#define SH_KV_VALUE_MAX (256 * SH_KIB) /* one value, as JSON: it is read whole, and journaled */
#define SH_KV_KEYS_MAX 10000           /* of one session: its keys are counted and listed */

/* Schedules */
#define SH_SCHEDULES_MAX 1000        /* one page of the store: all are read at the start */
#define SH_SCHEDULE_QUEUE_MAX 100    /* due times of one that wait for a run to end */
#define SH_SCHEDULE_CATCH_UP_MAX 100 /* missed due times that are made up for at once */

/* Workflows */
#define SH_PRIORITY_MAX 9 /* most urgent; 0 can wait */
#define SH_PRIORITY_DEFAULT 5
#define SH_PASSIVATE_AFTER_MS                                                                      \
    60000ULL /* of waiting: a replay costs less than the memory by then                            \
              */

/* Agents */
#define SH_CRASHES_MAX 3 /* of the process under one workflow: chance twice, hardly three times */
#define SH_FUEL_DEFAULT 10000000000ULL
#define SH_MEMORY_DEFAULT (256 * SH_MIB)
#define SH_MEMORY_MAX (4 * SH_GIB)
#define SH_WALL_CLOCK_DEFAULT_MS 600000ULL
#define SH_OUTPUT_DEFAULT (8 * SH_MIB) /* stdout and stderr together */
#define SH_WORKSPACE_DEFAULT (256 * SH_MIB)
#define SH_WORKSPACE_FILES_MAX 65536 /* names: links take room on the disk, too */
#define SH_WORKSPACE_LINKS_MAX 32000 /* names of one file; file systems end at 65000 and more */
#define SH_WORKSPACE_TARGET_MAX 1023 /* bytes of a symbolic link, as XFS; others take more */
#define SH_WORKSPACE_DEPTH_MAX                                                                     \
    64                          /* directories in each other that a checkpoint keeps: it recurses */
#define SH_DESCRIPTORS_MAX 1024 /* open descriptors of one agent */
#define SH_IOVECS_MAX 1024      /* as Linux IOV_MAX */
#define SH_PATH_MAX 4096
#define SH_SUBSCRIPTIONS_MAX 4096           /* of one poll_oneoff */
#define SH_ARGS_BYTES_MAX (128 * SH_KIB)    /* argv and environment of one agent */
#define SH_EFFECTS_BYTES_MAX (256 * SH_KIB) /* of one slice, before the agent must hand over */
#define SH_EFFECTS_MAX 1024
#define SH_MOUNTS_MAX 32
#define SH_EMIT_MAX (64 * SH_KIB)      /* one emit or publish */
#define SH_FORKS_MAX 8                 /* forks of forks: each adds a seed */
#define SH_CHECKPOINT_MAX (4 * SH_MIB) /* state of one checkpoint */
#define SH_DEV_LINE_MAX (1 * SH_MIB)   /* one request line on /dev/shannon */
#define SH_MODULE_BYTES_MAX (64 * SH_MIB)
#define SH_KEPT_MIN (64 * SH_KIB)        /* a larger observation is kept beside the journal */
#define SH_CAPTURE_DEFAULT (16 * SH_MIB) /* copied of a file opened only to be read, by default */
#define SH_CAPTURE_MAX (1 * SH_GIB)      /* the most a mount may ask for: hashed at each open */
#define SH_KEPT_BYTES_MAX (1 * SH_GIB)   /* of one agent; what is more counts to its journal */
#define SH_FILE_THREADS 4                /* that wait for file systems; disks have few arms */
#define SH_FILE_STUCK_MS 30000ULL        /* then a file call is given up: EIO (SEMANTICS 15) */
#define SH_FILE_STUCK_MAX 16             /* threads written off; each holds 8 MiB of addresses */
#define SH_LINES_THREADS 2               /* that find file and line of traps, with a child each */
#define SH_LINES_QUEUE_MAX 64            /* traps that wait for them; a further one goes without */
#define SH_LINES_MEMORY_BYTES (1 * SH_GIB) /* of that child; 60 MB of information take 0.3 */
#define SH_LINES_CPU_S 5                   /* the same take 1 */
#define SH_LINES_WALL_MS 20000ULL
#define SH_HOST_CALLS_PER_S 4000000ULL /* then it is slowed: fuel does not see the host's time */
#define SH_EXECUTOR_HELD_MS 50         /* by one step, in what nothing interrupts */
#define SH_EXECUTOR_SPARES_MAX 16      /* threads in the place of those that are held */
#define SH_SLICE_FUEL 20000000ULL      /* time slice: roughly 10 ms of guest code */

/* Connections of agents (/net/tcp) */
#define SH_NET_CONNECTIONS_MAX 16        /* open at once, of one agent: each may hold 320 KiB */
#define SH_NET_BUFFER_MAX (64 * SH_KIB)  /* received and not read: then the peer waits */
#define SH_NET_PIECE_MAX (64 * SH_KIB)   /* of one read or write: it is one event */
#define SH_NET_UNSENT_MAX (256 * SH_KIB) /* written and not sent: then the agent waits */
#define SH_NET_SENT_MAX (1 * SH_GIB)     /* of one agent; what it reads, its journal bounds */
#define SH_NET_CONNECT_MS 30000ULL       /* resolving and connecting */
#define SH_NET_LINGER_MS 2000ULL         /* what was written before a close goes out */

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
#define SH_LLM_FALLBACKS_MAX 4            /* models that stand in for one: each may take its time */
#define SH_SEARCH_RESPONSE_MAX (4 * SH_MIB) /* of a search server; ten results take some KiB */
#define SH_FETCH_BYTES_MAX (8 * SH_MIB)     /* of a document that is to become text */
#define SH_FETCH_READERS_MAX 8            /* children that read documents, of all agents together */
#define SH_ROBOTS_BYTES_MAX (16 * SH_KIB) /* kept of a site's robots.txt, for an hour */
#define SH_MCP_LISTED_MAX                                                                          \
    (8 * SH_MIB) /* descriptions and schemas of a server's tools together: they stay in memory */
#define SH_MCP_MESSAGE_MAX                                                                         \
    (8 * SH_MIB)           /* one message of an MCP server: a result, and its frame                \
                            */
#define SH_SECRET_MAX 4096 /* bytes of an API key */

/* Server */
#define SH_HTTP_BODY_MAX (16 * SH_MIB)
#define SH_HTTP_BODIES_MAX                                                                         \
    (256 * SH_MIB) /* bodies of more than a MiB together: they are in memory */
#define SH_HTTP_SUBMIT_BODY_MAX (SH_PAYLOAD_MAX + SH_MIB) /* the largest input, and the rest */
#define SH_HTTP_MODULE_BODY_MAX SH_MODULE_BYTES_MAX

/* Room on the disk */
#define SH_BALLAST (64 * SH_MIB)         /* given up when it is full: a database's worth of room */
#define SH_DISK_FULL (16 * SH_MIB)       /* less: it is; one merge of the database may take it */
#define SH_DISK_REST (64 * SH_MIB)       /* less: nothing new is taken, what runs rests */
#define SH_DISK_REST_OVER (128 * SH_MIB) /* at least: on again; apart, or it would flutter */
#define SH_DISK_GUEST_MIN (256 * SH_MIB) /* less: agents cannot fill their directories further */
#define SH_DISK_BALLAST_ROOM (256 * SH_MIB) /* left once the ballast is made anew */

/* HTTP requests of ours */
#define SH_HTTP_HEADER_BYTES_MAX (256 * SH_KIB) /* of one response, interim ones included */
#define SH_HTTP_URL_MAX (64 * SH_KIB)
#define SH_HTTP_RETRY_AFTER_MAX_MS 86400000ULL /* a day: what a server may ask us to wait */

#endif
