/* Which addresses count as what, in every disguise, and what a configured server may connect to. */
#include "lib/check_main.h"

#include <arpa/inet.h>

#include "tools/egress.h"

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static union address at(const char *text, uint16_t port) {
    union address a;
    memset(&a, 0, sizeof(a));
    if (inet_pton(AF_INET, text, &a.v4.sin_addr) == 1) {
        a.v4.sin_family = AF_INET;
        a.v4.sin_port = htons(port);
    } else {
        ck_assert_msg(inet_pton(AF_INET6, text, &a.v6.sin6_addr) == 1, "%s", text);
        a.v6.sin6_family = AF_INET6;
        a.v6.sin6_port = htons(port);
    }
    return a;
}

START_TEST(addresses_are_classed_in_every_form) {
    static const struct {
        const char *text;
        enum sh_address_class class;
    } rows[] = {
        {"8.8.8.8", SH_ADDRESS_PUBLIC},
        {"127.0.0.1", SH_ADDRESS_LOOPBACK},
        {"127.255.255.254", SH_ADDRESS_LOOPBACK},
        {"10.0.0.1", SH_ADDRESS_PRIVATE},
        {"172.16.0.1", SH_ADDRESS_PRIVATE},
        {"172.31.255.255", SH_ADDRESS_PRIVATE},
        {"172.32.0.1", SH_ADDRESS_PUBLIC},
        {"192.168.1.1", SH_ADDRESS_PRIVATE},
        {"100.64.0.1", SH_ADDRESS_PRIVATE},
        {"100.128.0.1", SH_ADDRESS_PUBLIC},
        {"169.254.169.254", SH_ADDRESS_REFUSED},
        {"0.0.0.0", SH_ADDRESS_REFUSED},
        {"0.1.2.3", SH_ADDRESS_REFUSED},
        {"192.0.0.8", SH_ADDRESS_REFUSED},
        {"198.18.0.1", SH_ADDRESS_REFUSED},
        {"198.19.255.255", SH_ADDRESS_REFUSED},
        {"224.0.0.1", SH_ADDRESS_REFUSED},
        {"240.0.0.1", SH_ADDRESS_REFUSED},
        {"255.255.255.255", SH_ADDRESS_REFUSED},
        {"::1", SH_ADDRESS_LOOPBACK},
        {"::", SH_ADDRESS_REFUSED},
        {"::127.0.0.1", SH_ADDRESS_REFUSED},
        {"::ffff:127.0.0.1", SH_ADDRESS_LOOPBACK},
        {"::ffff:169.254.169.254", SH_ADDRESS_REFUSED},
        {"::ffff:8.8.8.8", SH_ADDRESS_PUBLIC},
        {"64:ff9b::7f00:1", SH_ADDRESS_REFUSED},
        {"64:ff9b::808:808", SH_ADDRESS_PUBLIC},
        {"64:ff9b:1::1", SH_ADDRESS_REFUSED},
        {"2002:7f00:1::", SH_ADDRESS_REFUSED},
        {"2002:a00:1::", SH_ADDRESS_REFUSED},
        {"2001:0:1::1", SH_ADDRESS_REFUSED},
        {"2001:db8::1", SH_ADDRESS_REFUSED},
        {"2606:4700::1111", SH_ADDRESS_PUBLIC},
        {"fc00::1", SH_ADDRESS_PRIVATE},
        {"fd12::1", SH_ADDRESS_PRIVATE},
        {"fe80::1", SH_ADDRESS_REFUSED},
        {"ff02::1", SH_ADDRESS_REFUSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        union address a = at(rows[i].text, 1);
        ck_assert_msg(sh_address_class(&a.any) == rows[i].class, "%s", rows[i].text);
    }
    union address local = {.any = {.sa_family = AF_UNIX}};
    ck_assert_int_eq(sh_address_class(&local.any), SH_ADDRESS_REFUSED);
}
END_TEST

START_TEST(a_configured_server_reaches_itself_only) {
    static const struct {
        const char *url, *address;
        uint16_t port;
        bool allowed;
    } rows[] = {
        {"http://127.0.0.1:11434/v1", "127.0.0.1", 11434, true},
        {"http://127.0.0.1:11434/v1", "127.0.0.1", 22, false},
        {"http://127.0.0.1:11434/v1", "127.0.0.2", 11434, false},
        {"http://127.0.0.1:11434/v1", "::1", 11434, false},
        {"http://[::1]:80/", "::1", 80, true},
        {"http://169.254.169.254", "169.254.169.254", 80, true}, /* written out: meant */
        {"http://localhost:1", "127.0.0.1", 1, true},
        {"http://localhost:1", "::1", 1, true},
        {"http://a.LocalHost:1", "::1", 1, true},
        {"http://localhost:1", "10.0.0.1", 1, false},
        {"http://notlocalhost:1", "10.0.0.1", 1, true},
        {"https://api.example.com/v1", "93.184.216.34", 443, true},
        {"https://api.example.com/v1", "93.184.216.34", 80, false},
        {"https://api.example.com/v1", "169.254.169.254", 443, false},
        {"https://api.example.com/v1", "::ffff:169.254.169.254", 443, false},
        {"https://api.example.com/v1", "0.0.0.0", 443, false},
        {"https://gpu.lan/v1", "192.168.1.9", 443, true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_egress_peer peer;
        struct sh_err err = {0};
        sh_assert_ok(sh_egress_peer_parse(rows[i].url, "x", &peer, &err), &err);
        union address a = at(rows[i].address, rows[i].port);
        ck_assert_msg(sh_egress_peer_allows(&peer, &a.any) == rows[i].allowed, "row %zu", i);
    }
}
END_TEST

START_TEST(urls_that_are_no_servers_are_refused) {
    static const char *const rows[] = {"",
                                       "ftp://a/",
                                       "a.b",
                                       "http://",
                                       "http://a/?q=1",
                                       "http://a:99999/",
                                       "http://a:0/",
                                       "file:///etc/passwd",
                                       "http://a\r\nX: y/",
                                       "http://a b/",
                                       NULL};
    struct sh_egress_peer peer;
    for (size_t i = 0; rows[i]; i++) {
        struct sh_err err = {0};
        sh_assert_fails(sh_egress_peer_parse(rows[i], "[llm] base_url", &peer, &err), SH_E_INVAL,
                        &err);
        ck_assert_ptr_nonnull(strstr(err.message, "[llm] base_url"));
    }
    struct sh_err err = {0};
    sh_assert_fails(sh_egress_peer_parse("http://me:hunter2@a/", "x", &peer, &err), SH_E_INVAL,
                    &err);
    ck_assert_ptr_null(strstr(err.message, "hunter2"));
    sh_assert_fails(sh_egress_peer_parse("http://me:hunter2@a/?x", "x", &peer, &err), SH_E_INVAL,
                    &err);
    ck_assert_ptr_null(strstr(err.message, "hunter2"));
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {addresses_are_classed_in_every_form,
                                  a_configured_server_reaches_itself_only,
                                  urls_that_are_no_servers_are_refused, NULL};
    return sh_suite("tools_egress", tests);
}

SH_TEST_MAIN(suite)
