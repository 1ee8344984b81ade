/* libevent with OpenSSL: `server-libevent-openssl secure CERTIFICATE KEY`. Lines come by a
 * bufferevent and evbuffer_readln; one SSL_write answers all lines of an event. */
#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MAX_LINE 65536

static SSL_CTX *context;

static void end(struct bufferevent *bev, short what, void *arg)
{
    SSL *ssl = bufferevent_openssl_get_ssl(bev);
    (void)arg;
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)))
        return;
    SSL_set_shutdown(ssl, SSL_RECEIVED_SHUTDOWN);
    SSL_shutdown(ssl);
    bufferevent_free(bev);
}

static void written(struct bufferevent *bev, void *arg)
{
    (void)arg;
    bufferevent_enable(bev, EV_READ);
}

static void echo(struct bufferevent *bev, void *arg)
{
    struct evbuffer *input = bufferevent_get_input(bev), *output = bufferevent_get_output(bev);
    size_t len;
    char *line;
    while ((line = evbuffer_readln(input, &len, EVBUFFER_EOL_LF))) {
        line[len] = '\n';
        evbuffer_add(output, line, len + 1);
        free(line);
    }
    /* A client that does not read shall not be read either. */
    if (evbuffer_get_length(output) > MAX_LINE)
        bufferevent_disable(bev, EV_READ);
    if (evbuffer_get_length(input) > MAX_LINE)
        end(bev, BEV_EVENT_ERROR, arg);
}

static void accepted(struct evconnlistener *listener, evutil_socket_t fd,
                     struct sockaddr *address, int len, void *base)
{
    (void)listener, (void)address, (void)len;
    SSL *ssl = SSL_new(context);
    if (!ssl)
        abort();
    struct bufferevent *bev = bufferevent_openssl_socket_new(
        base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, BEV_OPT_CLOSE_ON_FREE);
    if (!bev)
        abort();
    bufferevent_setcb(bev, echo, written, end, NULL);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    int on = 1;
    if (argc < 4 || strcmp(argv[1], "secure")) {
        fprintf(stderr, "usage: server-libevent-openssl secure CERTIFICATE KEY\n");
        return 2;
    }
    context = SSL_CTX_new(TLS_server_method());
    if (!context || SSL_CTX_use_certificate_chain_file(context, argv[2]) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, argv[3], SSL_FILETYPE_PEM) != 1)
        return 1;
    /* Buffers go while a connection is idle. */
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
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
