/* libevent's bufferevent: `server-libevent echo|bulk|room`. Lines are taken by
 * evbuffer_readln, as in the library's own documentation. */
#include <arpa/inet.h>
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
#define HIGH_WATER 65536

struct member {
    struct bufferevent *bev;
    struct member *next, **link;
};

static struct member *members;
static bufferevent_data_cb work;

static void resume(struct bufferevent *bev, void *arg)
{
    (void)arg;
    bufferevent_enable(bev, EV_READ);
}

/* A client that does not read shall not be read either. */
static void hold_back(struct bufferevent *bev)
{
    if (evbuffer_get_length(bufferevent_get_output(bev)) > HIGH_WATER)
        bufferevent_disable(bev, EV_READ);
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
    struct evbuffer *output = bufferevent_get_output(bev);
    size_t len;
    char *line;
    while ((line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF))) {
        evbuffer_add(output, line, len);
        evbuffer_add(output, "\n", 1);
        free(line);
    }
    if (check_length(bev, arg))
        hold_back(bev);
}

static void bulk(struct bufferevent *bev, void *arg)
{
    (void)arg;
    evbuffer_add_buffer(bufferevent_get_output(bev), bufferevent_get_input(bev));
    hold_back(bev);
}

static void room(struct bufferevent *bev, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(bev);
    size_t len;
    char *line;
    while ((line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF))) {
        line[len] = '\n';
        for (struct member *member = members; member; member = member->next)
            bufferevent_write(member->bev, line, len + 1);
        free(line);
    }
    check_length(bev, arg);
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
    work = !strcmp(name, "echo") ? echo : !strcmp(name, "bulk") ? bulk : !strcmp(name, "room") ? room : NULL;
    if (!work) {
        fprintf(stderr, "usage: server-libevent echo|bulk|room\n");
        return 2;
    }
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct event_base *base = event_base_new();
    struct evconnlistener *listener = evconnlistener_new_bind(
        base, accepted, base, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE, 1024,
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
