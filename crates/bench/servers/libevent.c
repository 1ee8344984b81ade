/* libevent: `server-libevent echo|bulk|room`. Lines come by a bufferevent and
 * evbuffer_readln, as in the library's own documentation. Answers are written at
 * once, and only what the socket does not take is left to the bufferevent: else
 * each would cost two epoll_ctl. Bytes without lines come by a plain event, as in
 * memcached: a bufferevent reads no more than 4 KiB at a time. */
#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_LINE 65536
#define READ_SIZE 262144

struct member {
    struct bufferevent *bev;
    struct evbuffer *unsent;
    struct member *next, **link;
};

static struct member *members;
static bufferevent_data_cb work;
/* Answers of one event. */
static struct evbuffer *answers;
/* Writes to the members at the end of a turn. */
static struct event *turn_end;

static void resume(struct bufferevent *bev, void *arg)
{
    (void)arg;
    bufferevent_enable(bev, EV_READ);
}

/* Leaves what the socket does not take to the bufferevent; returns whether that
 * is anything. */
static int send_now(struct bufferevent *bev, struct evbuffer *data)
{
    if (!evbuffer_get_length(bufferevent_get_output(bev)) && evbuffer_get_length(data))
        evbuffer_write(data, bufferevent_getfd(bev));
    if (!evbuffer_get_length(data))
        return 0;
    bufferevent_write_buffer(bev, data);
    return 1;
}

static void end(struct bufferevent *bev, short what, void *arg)
{
    struct member *member = arg;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    if (member) {
        *member->link = member->next;
        if (member->next)
            member->next->link = member->link;
        evbuffer_free(member->unsent);
        free(member);
    }
    bufferevent_free(bev);
}

static int check_length(struct bufferevent *bev, void *arg)
{
    if (evbuffer_get_length(bufferevent_get_input(bev)) <= MAX_LINE)
        return 1;
    end(bev, BEV_EVENT_ERROR, arg);
    return 0;
}

static void echo(struct bufferevent *bev, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len;
    char *line;
    while ((line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF))) {
        line[len] = '\n';
        evbuffer_add(answers, line, len + 1);
        free(line);
    }
    /* A client that does not read shall not be read either. */
    if (send_now(bev, answers))
        bufferevent_disable(bev, EV_READ);
    check_length(bev, arg);
}

static void room(struct bufferevent *bev, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len;
    char *line;
    while ((line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF))) {
        line[len] = '\n';
        for (struct member *member = members; member; member = member->next)
            evbuffer_add(member->unsent, line, len + 1);
        free(line);
        event_active(turn_end, EV_TIMEOUT, 0);
    }
    check_length(bev, arg);
}

static void write_to_members(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    for (struct member *member = members; member; member = member->next)
        send_now(member->bev, member->unsent);
}

struct stream {
    struct event *readable, *writable;
    size_t from, to;
    char buffer[READ_SIZE];
};

static void send_bytes(evutil_socket_t fd, struct stream *stream)
{
    while (stream->from < stream->to) {
        ssize_t len = send(fd, stream->buffer + stream->from, stream->to - stream->from, MSG_NOSIGNAL);
        if (len < 0)
            break;
        stream->from += len;
    }
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;
    ssize_t len = recv(fd, stream->buffer, READ_SIZE, 0);
    (void)what;
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (len <= 0) {
        event_free(stream->readable);
        event_free(stream->writable);
        free(stream);
        evutil_closesocket(fd);
        return;
    }
    stream->from = 0;
    stream->to = len;
    send_bytes(fd, stream);
    if (stream->from < stream->to) {
        event_del(stream->readable);
        event_add(stream->writable, NULL);
    }
}

static void writable(evutil_socket_t fd, short what, void *arg)
{
    struct stream *stream = arg;
    (void)what;
    send_bytes(fd, stream);
    if (stream->from == stream->to || (errno != EAGAIN && errno != EINTR)) {
        event_del(stream->writable);
        event_add(stream->readable, NULL);
    }
}

static void bulk(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int len,
                 void *base)
{
    struct stream *stream = malloc(sizeof *stream);
    (void)listener, (void)address, (void)len;
    if (!stream)
        abort();
    stream->readable = event_new(base, fd, EV_READ | EV_PERSIST, readable, stream);
    stream->writable = event_new(base, fd, EV_WRITE | EV_PERSIST, writable, stream);
    event_add(stream->readable, NULL);
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd,
                     struct sockaddr *address, int len, void *base)
{
    struct member *member = NULL;
    (void)listener, (void)address, (void)len;
    struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!bev)
        abort();
    if (work == room) {
        member = malloc(sizeof *member);
        if (!member)
            abort();
        member->bev = bev;
        member->unsent = evbuffer_new();
        member->next = members;
        member->link = &members;
        if (members)
            members->link = &member->next;
        members = member;
    }
    bufferevent_setcb(bev, work, resume, end, member);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int on = 1;
    const char *name = argc > 1 ? argv[1] : "";
    int is_bulk = !strcmp(name, "bulk");
    work = !strcmp(name, "echo") ? echo : !strcmp(name, "room") ? room : NULL;
    if (!work && !is_bulk) {
        fprintf(stderr, "usage: server-libevent echo|bulk|room\n");
        return 2;
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct event_base *base = event_base_new();
    answers = evbuffer_new();
    turn_end = event_new(base, -1, 0, write_to_members, NULL);
    struct evconnlistener *listener = evconnlistener_new_bind(
        base, is_bulk ? bulk : accepted, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 1024,
        (struct sockaddr *)&address, sizeof address);
    if (!listener)
        return 1;
    evutil_socket_t fd = evconnlistener_get_fd(listener);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    getsockname(fd, (struct sockaddr *)&address, &len);
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return event_base_dispatch(base);
}
