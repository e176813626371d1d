/* The OpenAPI document and the table of routes say the same. */
#include "../lib/check_main.h"

#include "http/api.h"
#include "http/openapi.h"

#include <ctype.h>

static json_t *document;

static json_t *operation_of(const struct sh_route *route) {
    char method[8] = {0};
    const char *name = sh_route_method(route);
    for (size_t i = 0; name[i] && i + 1 < sizeof(method); i++) {
        method[i] = (char)tolower((unsigned char)name[i]);
    }
    return json_object_get(
        json_object_get(json_object_get(document, "paths"), sh_route_path(route)), method);
}

static size_t operations(void) {
    size_t n = 0;
    const char *path;
    json_t *item;
    json_object_foreach(json_object_get(document, "paths"), path, item) {
        n += json_object_size(item);
    }
    return n;
}

START_TEST(every_route_is_described_and_nothing_else) {
    size_t n = 0;
    document = sh_openapi_json();
    for (const struct sh_route *route; (route = sh_route_at(n)); n++) {
        ck_assert_msg(operation_of(route) != NULL, "%s %s is not in the document",
                      sh_route_method(route), sh_route_path(route));
    }
    ck_assert_uint_gt(n, 20);
    ck_assert_uint_eq(operations(), n);
    json_decref(document);
}
END_TEST

START_TEST(what_needs_no_key_says_so_and_streams_take_it_in_the_query) {
    document = sh_openapi_json();
    for (size_t i = 0; sh_route_at(i); i++) {
        const struct sh_route *route = sh_route_at(i);
        json_t *security = json_object_get(operation_of(route), "security");
        size_t want = sh_route_is_public(route) ? 0 : sh_route_is_stream(route) ? 4 : 2;
        if (!security) {
            security = json_object_get(document, "security");
        }
        ck_assert_msg(json_array_size(security) == want, "%s", sh_route_path(route));
    }
    json_decref(document);
}
END_TEST

static void check_references(const json_t *value) {
    const char *name;
    json_t *member;
    size_t i;
    json_array_foreach(value, i, member) {
        check_references(member);
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, member) {
        if (strcmp(name, "$ref") == 0) {
            const char *from = json_string_value(member), *p = from + strlen("#");
            const json_t *at = document;
            while (at && *p == '/') {
                size_t n = strcspn(p + 1, "/");
                sh_auto(sh_free_p) char *part = sh_strndup0(p + 1, n);
                at = json_object_get(at, part);
                p += n + 1;
            }
            ck_assert_msg(at != NULL, "%s leads nowhere", from);
        } else {
            check_references(member);
        }
    }
}

START_TEST(every_reference_leads_somewhere) {
    document = sh_openapi_json();
    check_references(document);
    json_decref(document);
}
END_TEST

START_TEST(operation_ids_are_unique_and_every_id_has_a_parameter) {
    document = sh_openapi_json();
    json_t *seen = json_object();
    for (size_t i = 0; sh_route_at(i); i++) {
        json_t *operation = operation_of(sh_route_at(i));
        const char *id = json_string_value(json_object_get(operation, "operationId"));
        ck_assert(id && !json_object_get(seen, id));
        json_object_set_new(seen, id, json_true());
        json_t *first = json_array_get(json_object_get(operation, "parameters"), 0);
        bool has_id = sh_str_eqz(sh_json_get_str(first, "in"), "path");
        const char *path = sh_route_path(sh_route_at(i));
        ck_assert_int_eq(has_id, strstr(path, "{id}") != NULL || strstr(path, "{name}") != NULL);
    }
    json_decref(seen);
    json_decref(document);
}
END_TEST

START_TEST(the_short_form_means_what_it_says) {
    static const char want[] =
        "{\"properties\":{\"a\":{\"maxLength\":60,\"type\":\"string\"},\"b\":{\"items\":{\"$ref\":"
        "\"#/components/schemas/X\"},\"type\":\"array\"},\"c\":{\"maximum\":9,\"minimum\":1,"
        "\"type\":\"integer\"},\"d\":{\"minimum\":0,\"type\":\"integer\"},\"e\":{}},\"required\":["
        "\"a\"],\"type\":\"object\"}";
    json_t *object = sh_openapi_object("a!=s60 b=[@X] c=i1..9 d=i0.. e=any");
    char *text = sh_json_text(object);
    ck_assert_str_eq(text, want);
    sh_free(text);
    json_decref(object);
}
END_TEST

static Suite *suite(void) {
    static const TTest *tests[16];
    size_t n = 0;
    tests[n++] = every_route_is_described_and_nothing_else;
    tests[n++] = what_needs_no_key_says_so_and_streams_take_it_in_the_query;
    tests[n++] = every_reference_leads_somewhere;
    tests[n++] = operation_ids_are_unique_and_every_id_has_a_parameter;
    tests[n++] = the_short_form_means_what_it_says;
    return sh_suite("api_openapi", tests);
}

SH_TEST_MAIN(suite)
