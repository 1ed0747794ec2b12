/*
 * msg.h: every message of the protocol as a C struct. msg.c is the only place that knows the order of the fields on the
 * wire; docs/PROTOCOL.md says it in words. A message is one type byte and its fields, with nothing left over.
 */
#ifndef PYSTUCK_MSG_H
#define PYSTUCK_MSG_H

#include <stdint.h>

#include "buf.h"

#define PROTOCOL_MAGIC "pystuck"
#define PROTOCOL_VERSION 1

/* The longest message, type byte included, in bytes. */
#define MSG_MAX (1u << 20)
/* The longest before the other side is known. */
#define MSG_MAX_HELLO 512

/*
 * The longest that each string may be, in bytes. A message whose strings keep to these fits into MSG_MAX. msg_encode cuts
 * text that is only shown (at a whole character); it refuses magic, source, output and frames that are too long.
 */
#define MSG_MAGIC_MAX 16
#define MSG_VERSION_MAX 64		/* the version of a program */
#define MSG_COMMAND_MAX 4096
#define MSG_SENTENCE_MAX 1024		/* why something was refused; a note; what a thread waits for */
#define MSG_FILE_MAX 4096
#define MSG_NAME_MAX 1024		/* of a function, a thread, a class, a variable */
#define MSG_LINE_MAX 4096		/* of source code */
#define MSG_VALUE_MAX 65536		/* of one variable */
#define MSG_TEXT_MAX (MSG_MAX - 64)	/* source, output, result */
#define MSG_COMPLETE_MAX 65536		/* what is to be completed; what completes it */
#define MSG_FRAMES_MAX ((MSG_MAX - 8192) / 8)	/* of one thread */
#define MSG_GREENLET_FRAMES_MAX (MSG_FRAMES_MAX - 1024)
#define MSG_AWAITS_MAX 60000u		/* tasks that one task waits for */
#define MSG_TASK_FRAMES_MAX 60000u	/* of one task */

enum msg_type {
	/* client to server */
	MSG_HELLO = 1,		/* the first message of a client */
	MSG_DUMP = 2,		/* the stacks, please */
	MSG_EVAL = 3,		/* run this */
	MSG_INTERRUPT = 4,	/* stop the evaluation: KeyboardInterrupt in it */
	MSG_DETACH = 5,		/* let go of the evaluation: it goes on without me */
	MSG_COMPLETE = 7,	/* what could go on here? */
	MSG_WHERE = 8,		/* where is the evaluation now? */
	MSG_BACKGROUND = 9,	/* let it go on beside the next ones */
	MSG_BYE = 6,		/* the end, in either direction: what comes after is not part of the conversation */
	/* server to client */
	MSG_WELCOME = 64,	/* answers HELLO */
	MSG_REFUSED = 65,	/* answers HELLO, and the connection ends */
	MSG_ERROR = 66,		/* a request could not be carried out; the session goes on */
	MSG_DUMP_BEGIN = 67,	/* a dump: BEGIN, then CODE, SOURCE, THREAD, LOCAL, WAIT in any order that defines before use, END; or GREENLET, GENERATOR in their place */
	MSG_DUMP_CODE = 68,
	MSG_DUMP_SOURCE = 69,
	MSG_DUMP_THREAD = 70,
	MSG_DUMP_LOCAL = 71,
	MSG_DUMP_END = 72,
	MSG_OUTPUT = 73,	/* what the running evaluation printed */
	MSG_RESULT = 74,	/* the evaluation has ended */
	MSG_MATCHES = 75,	/* answers COMPLETE */
	MSG_PLACE = 77,		/* answers WHERE */
	MSG_RAISED = 78,	/* before RESULT: the exception by its parts */
	MSG_DUMP_GREENLET = 79,	/* in the answer to a DUMP with DUMP_GREENLETS */
	MSG_DUMP_GENERATOR = 80,	/* in that to one with DUMP_GENERATORS */
	MSG_DUMP_WAIT = 76,	/* in a dump, after its THREAD: what that thread waits for */
	MSG_DUMP_TASKS = 81,	/* in a dump, after the threads: the tasks of asyncio as a whole; then LOOPs, then TASKs */
	MSG_DUMP_LOOP = 82,
	MSG_DUMP_TASK = 83,
	MSG_DUMP_INTERPRETER = 84,	/* in a dump, where there are several: the THREADs behind it are this interpreter's */
	MSG_DUMP_NATIVES = 85,	/* in a dump: the THREADs behind it have no Python */
};

/* What a client may do; each includes those before it. A role comes from the server's rules, never from the client. */
enum role {
	ROLE_NONE = 0,
	ROLE_STACKS = 1,	/* where the threads are, and why */
	ROLE_LOCALS = 2,	/* also the values of variables */
	ROLE_EVAL = 3,		/* everything the process can do */
};

/* Why a request or a client was turned away. */
enum reason {
	REASON_DENIED = 1,	/* no role, or one too low */
	REASON_VERSION = 2,	/* the protocol version is not spoken here */
	REASON_FULL = 3,	/* as many clients as allowed are connected */
	REASON_GIL = 4,		/* the GIL could not be had in time */
	REASON_BUSY = 5,	/* this session runs an evaluation already */
	REASON_STOPPING = 6,	/* the server is going away */
	REASON_DISABLED = 7,	/* evaluation is switched off in this server */
	REASON_LIMIT = 8,	/* out of memory or over a limit */
	REASON_UNKNOWN = 9,	/* an id or a message that means nothing here */
	REASON_VETO = 10,	/* an audit hook of the program said no */
};

struct msg_hello {
	struct span magic;	/* PROTOCOL_MAGIC */
	uint16_t version;	/* PROTOCOL_VERSION of the client */
	struct span client;	/* the client's own version, for the log: "0.1.0" */
};

struct msg_welcome {
	uint16_t version;	/* the protocol version that is spoken from here on */
	uint8_t role;		/* enum role */
	uint32_t pid;
	uint32_t uid;		/* of the server process */
	uint64_t started_ns;	/* when the process started, ns since the epoch */
	struct span pystuck;	/* version of pystuck in the server */
	struct span python;	/* "3.11.2" */
	struct span command;	/* the command line, arguments separated by NUL, at most MSG_COMMAND_MAX */
};

struct msg_refused {
	uint16_t version;	/* what the server speaks */
	uint8_t reason;		/* enum reason */
	struct span text;	/* one sentence */
};

#define DUMP_LOCALS 0x01	/* also the variables of each frame; needs ROLE_LOCALS */
#define DUMP_OURS 0x02		/* also pystuck's own threads */
#define DUMP_RAW 0x04		/* without the GIL, at once: DUMP_HOW_RAW where that can be, else DUMP_HOW_OS */
#define DUMP_SAMPLE 0x08	/* one of many, for a profile: of what threads wait for only their state, and no source lines */
#define DUMP_GREENLETS 0x10	/* not the threads but the greenlets; without the GIL there is no answer */
#define DUMP_GENERATORS 0x20	/* not the threads but the generators and coroutines that are suspended; likewise */
#define DUMP_TASKS 0x40		/* also the tasks of asyncio; without the GIL there are none */

struct msg_dump {
	uint32_t id;		/* chosen by the client, comes back in the answer */
	uint8_t flags;		/* DUMP_* */
	uint32_t max_frames;	/* of each thread, innermost kept; 0: as many as the server sends at most */
};

#define EVAL_INTERACTIVE 0x01	/* an input that could go on is answered RESULT_INCOMPLETE instead of run */
#define EVAL_PROMPT 0x02	/* for a person: values are laid out; ? and % commands; a semicolon at the end silences */
#define EVAL_RAISED 0x04	/* an exception is also told by its parts: RAISED before RESULT */

struct msg_eval {
	uint32_t id;
	uint8_t flags;		/* EVAL_* */
	uint32_t cell;		/* the number of the prompt, for the file name in tracebacks */
	struct span source;	/* UTF-8 */
};

#define COMPLETE_ASK 0x01	/* run the program's code where that is needed: properties, __getattr__, __dir__ */

struct msg_complete {
	uint32_t id;
	uint8_t flags;		/* COMPLETE_* */
	struct span source;	/* what has been typed, up to the cursor; UTF-8 */
};

struct msg_interrupt {
	uint32_t id;		/* of the evaluation */
};

struct msg_detach {
	uint32_t id;
};

struct msg_where {
	uint32_t id;		/* of the evaluation */
};

struct msg_background {
	uint32_t id;
};

struct msg_bye {
	uint8_t reason;		/* enum reason, 0 for a plain end */
	struct span text;	/* one sentence, may be empty */
};

struct msg_error {
	uint32_t id;		/* of the request, 0 when there was none */
	uint8_t reason;		/* enum reason */
	struct span text;
};

enum dump_how {
	DUMP_HOW_GIL = 1,	/* collected while holding the GIL: exact */
	DUMP_HOW_RAW = 2,	/* read without the GIL */
	DUMP_HOW_OS = 3,	/* the GIL could not be had: operating system's view of the threads, no Python frames */
};

struct msg_dump_begin {
	uint32_t id;
	uint8_t how;		/* enum dump_how */
	uint8_t settled;	/* 1 when the picture is of one moment */
	uint64_t time_ns;	/* when it was taken, ns since the epoch */
	uint64_t gil_wait_us;	/* how long the GIL was waited for */
	uint64_t gil_held_us;	/* how long the program stood still for this */
	uint32_t gil_holder;	/* tid of the thread that had the GIL when it was asked for; 0 when nobody or unknown */
	uint32_t threads;	/* how many DUMP_THREAD follow */
	struct span note;	/* a word on how it was taken, may be empty */
};

struct msg_dump_code {
	uint32_t code;		/* index, from 0, counting up by one */
	struct span file;
	struct span function;	/* qualified name where Python has one (3.11+), else the name */
};

struct msg_dump_source {
	uint32_t code;
	uint32_t line;
	struct span text;	/* the source line, no newline, no indentation */
};

#define INTERPRETER_MAIN 0x01
#define INTERPRETER_OWN_GIL 0x02	/* it does not share the main interpreter's */
#define INTERPRETER_UNREAD 0x04	/* its threads could not be read */
#define INTERPRETER_ALL 0x07

struct msg_dump_interpreter {
	uint64_t id;		/* the main interpreter's is 0 */
	uint8_t flags;		/* INTERPRETER_* */
	uint32_t gil_holder;	/* tid of the thread that has its own GIL; 0: nobody, or not known */
};

struct msg_dump_natives {
	uint32_t threads;	/* how many DUMP_THREAD follow */
	uint32_t omitted;	/* how many more there are, which were not looked at */
};

enum thread_state {
	STATE_UNKNOWN = 0,
	STATE_CPU = 1,		/* on CPU, or ready to run */
	STATE_GIL = 2,		/* waiting for the GIL */
	STATE_LOCK = 3,
	STATE_SLEEP = 4,
	STATE_IO = 5,
	STATE_CHILD = 6,	/* waiting for a child process */
	STATE_C = 7,		/* in C code, in a system call that is none of the above */
	STATE_GC = 8,		/* collecting garbage */
	STATE_IDLE = 9,		/* of a pool, waiting for work */
};

#define THREAD_MAIN 0x01
#define THREAD_DAEMON 0x02
#define THREAD_OURS 0x04
#define THREAD_MOVING 0x08	/* without the GIL: never seen twice the same, so that its stack may be wrong */

/* One frame in msg_dump_thread.frames: u32 code, u32 line (0: unknown). */
#define FRAME_BYTES 8

struct msg_dump_thread {
	uint64_t ident;		/* threading.get_ident() */
	uint32_t tid;		/* native thread id, 0 when unknown */
	uint8_t flags;		/* THREAD_* */
	uint8_t state;		/* enum thread_state */
	struct span name;	/* threading name, empty when threading does not know it */
	struct span class_name;	/* "_MainThread", "Thread"; empty when threading does not know it */
	struct span os_name;	/* /proc/self/task/TID/comm */
	struct span detail;	/* what it waits for in a few words: "in recv", "in nanosleep"; may be empty */
	uint32_t omitted_frames;	/* outermost frames that were left out */
	struct span frames;	/* FRAME_BYTES each, outermost first */
};

enum wait_kind {
	WAIT_FOR_NONE = 0,		/* for nothing, or not known for what */
	WAIT_FOR_LOCK = 1,
	WAIT_FOR_JOIN = 2,		/* for the end of a thread */
	WAIT_FOR_FUTURE = 3,
	WAIT_FOR_QUEUE = 4,
	WAIT_FOR_IMPORT = 5,	/* for a module that another thread imports */
	WAIT_FOR_IO = 6,
	WAIT_FOR_SLEEP = 7,
	WAIT_FOR_GIL = 8,
	WAIT_FOR_CHILD = 9,
};

/* How well the holder is known. */
enum wait_confidence {
	WAIT_UNKNOWN = 0,
	WAIT_INFERRED = 1,	/* from where a thread is in its code */
	WAIT_KNOWN = 2,		/* from what the object itself says */
	WAIT_CALLED = 3,	/* inferred from a call of acquire(): another thread or task may be the one that is to release it */
};

#define WAIT_PROVED 0x01	/* the kernel's address says that it is this very object */
#define WAIT_STILL 0x02		/* the thread has not run since before its stack was looked at */
#define WAIT_TIMED 0x04		/* the wait ends by itself some time */
#define WAIT_ENDED 0x08		/* who had it has ended */
#define WAIT_FD 0x10		/* `fd` means something */
#define WAIT_COUNT 0x20		/* `count` does */
#define WAIT_SINCE 0x40		/* `waited_us` does */
#define WAIT_CPU 0x80		/* `cpu_us` does */
#define WAIT_ALL 0xff
#define WAIT_FRAME_NONE 0xffffffffu

struct msg_dump_wait {
	uint8_t kind;		/* enum wait_kind */
	uint8_t flags;		/* WAIT_* */
	uint8_t confidence;	/* enum wait_confidence, of the holder */
	uint64_t cpu_us;	/* how long the thread has been on a CPU in its life */
	uint64_t waited_us;	/* how long it has been there */
	uint64_t address;	/* of the object that it waits for; 0: none, or unknown */
	uint32_t holder;	/* tid of the thread that must act first; 0: none, or unknown */
	uint32_t holder_frame;	/* index into that one's frames: where it took it; WAIT_FRAME_NONE */
	uint32_t holder_line;	/* and the line; 0: unknown */
	uint32_t fd;
	uint64_t count;		/* bytes that lie there, or fds that are waited for */
	uint32_t pid;		/* of a process: the child, or the holder of a lock on a file; 0: none, or unknown */
	struct span call;	/* the system call */
	struct span type;	/* "RLock", "Event"; of a socket "TCP" */
	struct span name;	/* as the source has it: "self._lock" */
	struct span path;	/* of a file */
	struct span local, peer;	/* the ends of a socket */
	struct span command;	/* of `pid` */
};

struct msg_dump_local {
	uint32_t frame;		/* index into the frames of the DUMP_THREAD before it */
	struct span name;
	struct span value;	/* a bounded text */
};

enum greenlet_state {
	GREENLET_CURRENT = 1,	/* of its thread: it runs, or waits in a system call; its stack is the thread's */
	GREENLET_SUSPENDED = 2,
	GREENLET_NEW = 3,	/* not begun */
};

#define GREENLET_HUB 0x01	/* of gevent: it waits for all others of its thread */
#define GREENLET_MAIN 0x02	/* what its thread began with */
#define GREENLET_TIMED 0x04	/* `left_us` means something */

enum greenlet_wait {
	GREENLET_FOR_UNKNOWN = 0,
	GREENLET_FOR_TURN = 1,	/* it may go on as soon as its thread's loop comes to it */
	GREENLET_FOR_IO = 2,
	GREENLET_FOR_CHILD = 3,	/* a child process */
	GREENLET_FOR_OBJECT = 4,	/* an Event, a lock, a queue, another greenlet's end */
	GREENLET_FOR_EVENT = 5,	/* another event of the loop: a signal, a call from another thread */
	GREENLET_FOR_TIME = 6,
};

#define GREENLET_READS 0x01
#define GREENLET_WRITES 0x02
#define GREENLET_NO_FD 0xffffffffu

struct msg_dump_greenlet {
	uint64_t address;
	uint64_t parent;	/* address; 0: none */
	uint64_t thread;	/* ident of its thread; 0: not known */
	uint8_t state;		/* enum greenlet_state */
	uint8_t flags;		/* GREENLET_* */
	struct span type;	/* "Greenlet" */
	struct span name;	/* given to it, or the function that it runs; may be empty */
	uint8_t wait;		/* enum greenlet_wait */
	uint8_t events;		/* GREENLET_FOR_IO: GREENLET_READS, GREENLET_WRITES */
	uint32_t fd;		/* the same; GREENLET_NO_FD: not known */
	uint32_t count;		/* for how many of this kind it waits */
	uint64_t left_us;	/* until it goes on by itself */
	uint64_t object;	/* address of what it waits for; 0: none, or unknown */
	uint64_t holder;	/* address of the greenlet that has it; 0: nobody, or unknown */
	struct span object_type;	/* "Semaphore"; of a socket "TCP" */
	struct span local, peer;	/* the ends of a socket */
	struct span path;	/* what else the fd is open on */
	uint32_t omitted_frames;	/* outermost frames that were left out */
	struct span frames;	/* FRAME_BYTES each, outermost first */
};

enum generator_kind {
	GENERATOR_PLAIN = 1,
	GENERATOR_COROUTINE = 2,
	GENERATOR_ASYNC = 3,	/* an asynchronous generator */
};

struct msg_dump_generator {
	uint8_t kind;		/* enum generator_kind */
	uint32_t count;		/* so many stand in the same place */
	uint32_t omitted_frames;
	struct span frames;	/* FRAME_BYTES each, outermost first: it, what it waits for, and so on */
};

#define DUMP_CUT 0x01		/* something was left out: frames, threads, locals, greenlets */
#define DUMP_HAS_GREENLETS 0x02	/* the program has imported greenlet: DUMP_GREENLETS may tell more */

#define TASKS_IMPORTED 0x01	/* the program has imported asyncio */
#define TASKS_ALL 0x01

struct msg_dump_tasks {
	uint8_t flags;		/* TASKS_* */
	uint32_t tasks;		/* how many DUMP_TASK follow */
	uint32_t omitted;	/* how many are left out */
	uint64_t took_us;	/* how long looking at them took, */
	uint64_t held_us;	/* for how long of that the program stood still, in all */
	uint64_t longest_us;	/* and at a time */
};

#define LOOP_RUNS 0x01		/* a thread is in its run_forever() or run_until_complete() */
#define LOOP_BUSY 0x02		/* `busy_us` means something */
#define LOOP_COUNTS 0x04	/* `ready` and `scheduled` do */
#define LOOP_ALL 0x07
#define LOOP_NONE 0xffffffffu

struct msg_dump_loop {
	uint32_t loop;		/* index, from 0, counting up by one */
	uint8_t flags;		/* LOOP_* */
	uint64_t address;	/* of the object */
	uint32_t tid;		/* the thread that it runs in; 0: none, or unknown */
	uint64_t busy_us;	/* for how long it has not looked for events, since it runs callbacks */
	uint32_t ready;		/* callbacks that are due */
	uint32_t scheduled;	/* timers */
	uint64_t task;		/* id of the task that runs at this moment; 0: none */
	struct span type;	/* its class */
	struct span callback;	/* the function that it runs at this moment; empty: none, a task, or unknown */
};

enum task_state {
	TASK_WAITS = 0,
	TASK_RUNS = 1,		/* a thread is in it */
	TASK_READY = 2,		/* it will go on when the loop comes to it */
	TASK_UNBEGUN = 3,	/* the same, for the first time */
};

#define TASK_CANCELLED 0x01	/* somebody has asked for its cancellation */
#define TASK_EAGER 0x02		/* it began within the call that made it, and has not waited yet */
#define TASK_STILL 0x04		/* it has not gone on between two looks: all that have this waited at one moment */
#define TASK_TIMED 0x08		/* its wait ends by itself some time */
#define TASK_ANY 0x10		/* one of those in `awaits` is enough */
#define TASK_LEFT 0x20		/* `left_us` means something */
#define TASK_FD 0x40		/* `fd` does */
#define TASK_COUNT 0x80		/* `count` does */
#define TASK_ALL 0xff

/* What a task waits for. */
enum task_wait {
	TASK_FOR_NONE = 0,
	TASK_FOR_FUTURE = 1,	/* that is nothing of the below, or not known to be */
	TASK_FOR_TASKS = 2,	/* those in `awaits`, or some that have ended or are futures */
	TASK_FOR_SLEEP = 3,
	TASK_FOR_LOCK = 4,	/* or a semaphore, a condition, an event, a barrier: `type` says */
	TASK_FOR_GET = 5,	/* an item in a queue */
	TASK_FOR_PUT = 6,	/* room in a queue */
	TASK_FOR_JOIN = 7,	/* that all items of a queue have been dealt with */
	TASK_FOR_READ = 8,	/* from a stream or socket */
	TASK_FOR_WRITE = 9,
	TASK_FOR_CONNECT = 10,	/* or an incoming connection */
	TASK_FOR_EXECUTOR = 11,	/* a function that an executor runs */
	TASK_FOR_CHILD = 12,	/* the end of a process */
};

struct msg_dump_task {
	uint64_t id;		/* the address of the object; not 0 */
	uint32_t loop;		/* index; LOOP_NONE */
	uint8_t state;		/* enum task_state */
	uint8_t flags;		/* TASK_* */
	uint8_t kind;		/* enum task_wait */
	uint8_t confidence;	/* enum wait_confidence, of the holder */
	uint64_t address;	/* of the object that it waits for; 0: none */
	uint64_t holder;	/* id of the task that has it; 0: none, or unknown */
	uint64_t left_us;	/* until the wait ends by itself */
	uint64_t count;		/* items in the queue; bytes that wait to be written */
	uint32_t fd;
	struct span name;
	struct span coroutine;	/* the function that it was made of */
	struct span awaitable;	/* class of what its innermost frame awaits, where that is neither Python nor a future */
	struct span how;	/* by what it waits, where the kind does not say it: "gather", "TaskGroup", "shield" */
	struct span type;	/* class of the object that it waits for; of a socket "TCP" */
	struct span object;	/* as the source has it: "self._lock" */
	struct span local, peer; /* the ends of a socket */
	uint32_t omitted_frames; /* outermost frames that were left out */
	uint32_t omitted_awaits; /* tasks that it waits for, and that are not in `awaits` for want of room */
	struct span awaits;	/* a u64 each: ids of the tasks that it waits for */
	struct span frames;	/* as in DUMP_THREAD */
};

struct msg_dump_end {
	uint32_t id;
	uint32_t omitted_threads;
	uint8_t flags;		/* DUMP_CUT, DUMP_HAS_* */
};

struct msg_output {
	uint32_t id;		/* of the evaluation */
	uint8_t stream;		/* 1 stdout, 2 stderr, 3 a text to be read, such as help */
	struct span text;	/* whole UTF-8 characters */
};

enum result_status {
	RESULT_NONE = 0,	/* a statement, or an expression with the value None */
	RESULT_VALUE = 1,	/* text is the repr of the value */
	RESULT_RAISED = 2,	/* text is the traceback */
	RESULT_INTERRUPTED = 3,	/* by MSG_INTERRUPT; text is the traceback */
	RESULT_INCOMPLETE = 4,	/* not run: the input can go on; text is the indentation of the next line */
	RESULT_EXIT = 5,	/* SystemExit: caught; text says so */
};

struct msg_result {
	uint32_t id;
	uint8_t status;		/* enum result_status */
	uint64_t duration_us;
	uint64_t total;		/* length of the whole text in bytes; more than text.len when it was cut */
	struct span text;
};

#define MATCHES_CUT 0x01	/* there are more, or the time was up */
#define MATCHES_UNASKED 0x02	/* COMPLETE_ASK could tell more */

struct msg_raised {
	uint32_t id;		/* of the evaluation */
	struct span type;	/* as a traceback names it: "ValueError", "json.decoder.JSONDecodeError" */
	struct span message;	/* str() of it; empty when there is none, or it raised itself */
};

struct msg_place {
	uint32_t id;		/* of the evaluation */
	struct span text;	/* "time.sleep": the call that its innermost frame is in, or the function */
};

struct msg_matches {
	uint32_t id;		/* of the COMPLETE */
	uint8_t flags;		/* MATCHES_* */
	uint32_t from;		/* where in the source that which they replace begins; it reaches to the end */
	uint32_t total;		/* how many there are, as far as they were counted */
	struct span signature;	/* of the call that the cursor is in; may be empty */
	struct span matches;	/* each ended by a NUL, sorted */
};

struct msg {
	enum msg_type type;
	union {
		struct msg_hello hello;
		struct msg_dump dump;
		struct msg_eval eval;
		struct msg_complete complete;
		struct msg_interrupt interrupt;
		struct msg_detach detach;
		struct msg_where where;
		struct msg_background background;
		struct msg_bye bye;
		struct msg_welcome welcome;
		struct msg_refused refused;
		struct msg_error error;
		struct msg_dump_begin dump_begin;
		struct msg_dump_code dump_code;
		struct msg_dump_source dump_source;
		struct msg_dump_thread dump_thread;
		struct msg_dump_local dump_local;
		struct msg_dump_end dump_end;
		struct msg_output output;
		struct msg_result result;
		struct msg_matches matches;
		struct msg_place place;
		struct msg_raised raised;
		struct msg_dump_wait dump_wait;
		struct msg_dump_greenlet dump_greenlet;
		struct msg_dump_generator dump_generator;
		struct msg_dump_tasks dump_tasks;
		struct msg_dump_loop dump_loop;
		struct msg_dump_task dump_task;
		struct msg_dump_interpreter dump_interpreter;
		struct msg_dump_natives dump_natives;
	};
};

/*
 * Appends the message (type byte and fields, no frame header) to b. 0, PYSTUCK_ETOOBIG (a string over its limit, or b's limit),
 * PYSTUCK_ENOMEM, PYSTUCK_EINVAL (no such type, or a field out of range); on error b is as before.
 */
int msg_encode(struct buf *b, const struct msg *m);
/* The number of bytes that msg_encode would append; with it 0, PYSTUCK_ETOOBIG or PYSTUCK_EINVAL as there. */
int msg_size(const struct msg *m, size_t *size);

/*
 * Reads one whole message. The spans in *m point into `bytes`. 0 or PYSTUCK_EFORMAT: unknown type, field out of range,
 * short, or bytes left over; then *m is all zero.
 *
 * HELLO, WELCOME and REFUSED of another protocol version than ours always decode as far as the version (and the reason), so
 * that it can be told; what follows is read as well as it can be, its ranges are not checked and more may come after it.
 */
int msg_decode(struct msg *m, struct span bytes);

/* Name of a type, a role or a reason, for logs and texts; "?" for what is none. Static. */
const char *msg_type_name(int type);
const char *role_name(int role);
const char *reason_name(int reason);
const char *state_name(int state);	/* the JSON spelling: "cpu", "gil", "lock", "sleep", "io", "child", "c", "gc", "idle", "unknown" */
const char *wait_name(int kind);	/* "lock", "join", "future", "queue", "import", "io", "sleep", "gil", "child"; "?" for WAIT_FOR_NONE */
const char *task_state_name(int state);	/* "waiting", "running", "ready", "not started" */
const char *task_wait_name(int kind);	/* "future", "tasks", "sleep", "lock", "get", ...; "?" for TASK_FOR_NONE */
const char *confidence_name(int confidence);	/* "unknown", "inferred" (also WAIT_CALLED), "known" */
int msg_is_of_dump(enum msg_type type);	/* a part of the answer to MSG_DUMP, from MSG_DUMP_BEGIN to MSG_DUMP_END */
int role_parse(const char *name);	/* ROLE_*, or PYSTUCK_EINVAL */

#endif
