/*
 * channel.h: messages over one fd: frames, and the sealed or plain transport below them. Never blocks on its own (the fd
 * is non-blocking), no threads, no clock; the caller polls.
 *
 * Plain (Unix sockets): each message is a u32 length and that many bytes.
 * Sealed (TCP): records of a u16 length and that many bytes; first the two handshake messages, then transport records whose
 * plaintexts, put end to end, are the same stream of length and message.
 *
 * Once sealed (or plain), the receiving half (fill, next, partial) and the sending half (put, flush, pending) share no
 * state: two threads may use one half each.
 */
#ifndef PYSTUCK_CHANNEL_H
#define PYSTUCK_CHANNEL_H

#include "buf.h"
#include "noise.h"

struct channel;

/*
 * Takes over fd (closed by channel_free). `limit_in` bounds one incoming message (raised later with channel_limit_in).
 * `handshake` 1: starts with handshake records; 0: plain from the start. NULL: out of memory or no fd, which is still the
 * caller's. When the program closes the fd behind our back, whatever file it is then is left alone: sending and receiving end
 * with PYSTUCK_ECLOSED, and channel_free does not close it.
 */
struct channel *channel_new(int fd, size_t limit_in, int handshake);
void channel_free(struct channel *ch);
/* Closes the fd alone: where another thread, which is not in this process, may have stopped in the middle of its work. */
void channel_forget(struct channel *ch);
int channel_fd(const struct channel *ch);
/* 0 when the program has closed the fd: it may be a file of the program's by now. */
int channel_has_fd(const struct channel *ch);
void channel_limit_in(struct channel *ch, size_t limit_in);

/* Handshake records: one whole record (the span lives until the next call), PYSTUCK_EAGAIN, or an error. */
int channel_take_record(struct channel *ch, size_t expected_len, struct span *record);
int channel_put_record(struct channel *ch, struct span record);
/* From here on sealed. Takes copies of the ciphers, wipes the caller's. */
void channel_seal(struct channel *ch, struct noise_cipher *send, struct noise_cipher *receive);

/*
 * Reads what the fd has, at most about 64 KiB a call. >0 bytes read; 0: end of file; PYSTUCK_EAGAIN (also when as much has
 * been read as may wait here: call channel_next until it returns 0 first); PYSTUCK_ESYS (errno); PYSTUCK_ENOMEM;
 * PYSTUCK_ECLOSED.
 */
int channel_fill(struct channel *ch);
/*
 * The next whole message. 1: *message is set and lives until the next channel_next or channel_fill; 0: more bytes are needed;
 * PYSTUCK_ETOOBIG, PYSTUCK_EFORMAT (length 0), PYSTUCK_EAUTH (a record did not verify), PYSTUCK_ENOMEM: the connection is to be closed.
 */
int channel_next(struct channel *ch, struct span *message);
/*
 * After channel_next has returned 0 (or a record was awaited): 1 when a part of a message or record is waiting for its rest,
 * so that an end of file now is a truncation.
 */
int channel_partial(const struct channel *ch);

/* Queues one message (or several already framed with channel_frame) for sending; sealing happens at once. */
int channel_put(struct channel *ch, struct span message);
int channel_put_framed(struct channel *ch, struct span frames);
/* Appends the frame of a message to b: u32 length and the message m, encoded in place. */
struct msg;
int channel_frame(struct buf *b, const struct msg *m);
size_t channel_pending(const struct channel *ch);	/* bytes queued, not yet sent */
/* Sends what can be sent now (MSG_NOSIGNAL). 0: all gone; PYSTUCK_EAGAIN: poll for POLLOUT; PYSTUCK_ECLOSED, PYSTUCK_ESYS. */
int channel_flush(struct channel *ch);

#endif
