/* The batch format, see store_codec.h. Writers trust their caller; readers trust nothing. */
#include "store/store_codec.h"

enum tag { TAG_NULL, TAG_FALSE, TAG_TRUE, TAG_INT, TAG_REAL, TAG_STRING, TAG_ARRAY, TAG_OBJECT };

void sh_store_put_header(struct sh_buf *b, const struct sh_store_header *h) {
    sh_buf_u32(b, SH_STORE_BATCH_MAGIC);
    sh_buf_u32(b, h->n_events);
    sh_buf_u32(b, h->n_puts);
    sh_buf_u8(b, h->fenced);
    sh_buf_u64(b, h->epoch);
}

bool sh_store_get_header(struct sh_reader *r, struct sh_store_header *ret) {
    uint32_t magic = sh_reader_u32(r);
    ret->n_events = sh_reader_u32(r);
    ret->n_puts = sh_reader_u32(r);
    ret->fenced = sh_reader_u8(r) != 0;
    ret->epoch = sh_reader_u64(r);
    return !r->failed && magic == SH_STORE_BATCH_MAGIC;
}

void sh_store_put_event(struct sh_buf *b, const struct sh_event_record *e) {
    sh_buf_bytes32(b, e->workflow);
    sh_buf_u64(b, e->seq);
    sh_buf_u64(b, (uint64_t)e->time_us);
    sh_buf_bytes32(b, e->type);
    sh_buf_bytes32(b, e->body);
    sh_buf_add(b, e->hash.b, sizeof(e->hash.b));
}

bool sh_store_get_event(struct sh_reader *r, struct sh_event_record *ret) {
    ret->workflow = sh_reader_bytes32(r);
    ret->seq = sh_reader_u64(r);
    ret->time_us = (int64_t)sh_reader_u64(r);
    ret->type = sh_reader_bytes32(r);
    ret->body = sh_reader_bytes32(r);
    if (r->failed || (size_t)(r->end - r->p) < sizeof(ret->hash.b)) {
        r->failed = true;
        return false;
    }
    memcpy(ret->hash.b, r->p, sizeof(ret->hash.b));
    r->p += sizeof(ret->hash.b);
    return true;
}

static bool put_value_at(struct sh_buf *b, const json_t *value, unsigned depth);

static bool put_array(struct sh_buf *b, const json_t *value, unsigned depth) {
    size_t n = json_array_size(value);
    sh_buf_u8(b, TAG_ARRAY);
    sh_buf_u32(b, (uint32_t)n);
    for (size_t i = 0; i < n && !b->failed; i++) {
        if (!put_value_at(b, json_array_get(value, i), depth + 1)) {
            return false;
        }
    }
    return true;
}

static bool put_object(struct sh_buf *b, const json_t *value, unsigned depth) {
    /* jansson's iterators take a plain pointer though they only read. */
    json_t *object = (json_t *)(uintptr_t)value;
    const char *name = NULL;
    size_t len = 0;
    json_t *member = NULL;
    sh_buf_u8(b, TAG_OBJECT);
    sh_buf_u32(b, (uint32_t)json_object_size(value));
    json_object_keylen_foreach(object, name, len, member) {
        sh_buf_bytes32(b, sh_strn(name, len));
        if (b->failed || !put_value_at(b, member, depth + 1)) {
            return b->failed;
        }
    }
    return true;
}

static void put_real(struct sh_buf *b, double real) {
    uint64_t bits = 0;
    memcpy(&bits, &real, sizeof(bits));
    sh_buf_u8(b, TAG_REAL);
    sh_buf_u64(b, bits);
}

static bool put_value_at(struct sh_buf *b, const json_t *value, unsigned depth) {
    if (depth > SH_STORE_DEPTH_MAX) {
        return false;
    }
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return put_object(b, value, depth);
    case JSON_ARRAY:
        return put_array(b, value, depth);
    case JSON_STRING:
        sh_buf_u8(b, TAG_STRING);
        sh_buf_bytes32(b, sh_strn(json_string_value(value), json_string_length(value)));
        return true;
    case JSON_INTEGER:
        sh_buf_u8(b, TAG_INT);
        sh_buf_u64(b, (uint64_t)json_integer_value(value));
        return true;
    case JSON_REAL:
        put_real(b, json_real_value(value));
        return true;
    case JSON_TRUE:
        sh_buf_u8(b, TAG_TRUE);
        return true;
    case JSON_FALSE:
        sh_buf_u8(b, TAG_FALSE);
        return true;
    case JSON_NULL:
        sh_buf_u8(b, TAG_NULL);
        return true;
    }
    return false;
}

bool sh_store_put_value(struct sh_buf *b, const json_t *value) {
    return put_value_at(b, value, 0);
}

static size_t size_at(const json_t *value, unsigned depth) {
    json_t *v = (json_t *)(uintptr_t)value;
    const char *name = NULL;
    size_t i = 0, len = 0, size = 1;
    json_t *member = NULL;
    if (depth > SH_STORE_DEPTH_MAX) {
        return 0;
    }
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        size += 4;
        json_object_keylen_foreach(v, name, len, member) {
            size += 4 + len + size_at(member, depth + 1);
        }
        return size;
    case JSON_ARRAY:
        size += 4;
        json_array_foreach(v, i, member) {
            size += size_at(member, depth + 1);
        }
        return size;
    case JSON_STRING:
        return size + 4 + json_string_length(v);
    case JSON_INTEGER:
    case JSON_REAL:
        return size + 8;
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
        return size;
    }
    return size;
}

size_t sh_store_value_size(const json_t *value) {
    return size_at(value, 0);
}

static json_t *get_value_at(struct sh_reader *r, unsigned depth);

/* A count of things of at least `each` bytes: what was not sent cannot be promised. */
static bool get_count(struct sh_reader *r, size_t each, uint32_t *ret) {
    uint32_t n = sh_reader_u32(r);
    if (r->failed || n > (size_t)(r->end - r->p) / each) {
        r->failed = true;
        return false;
    }
    *ret = n;
    return true;
}

static json_t *get_array(struct sh_reader *r, unsigned depth) {
    uint32_t n = 0;
    if (!get_count(r, 1, &n)) {
        return NULL;
    }
    sh_auto(sh_json_done) json_t *array = json_array();
    for (uint32_t i = 0; i < n; i++) {
        json_t *item = get_value_at(r, depth + 1);
        if (!item || json_array_append_new(array, item) < 0) {
            return NULL;
        }
    }
    return sh_take(&array);
}

static json_t *get_object(struct sh_reader *r, unsigned depth) {
    uint32_t n = 0;
    if (!get_count(r, 5, &n)) {
        return NULL;
    }
    sh_auto(sh_json_done) json_t *object = json_object();
    for (uint32_t i = 0; i < n; i++) {
        struct sh_str name = sh_reader_bytes32(r);
        json_t *member = r->failed ? NULL : get_value_at(r, depth + 1);
        if (!member || json_object_setn_new(object, name.p ? name.p : "", name.len, member) < 0) {
            return NULL;
        }
    }
    return sh_take(&object);
}

static json_t *get_value_at(struct sh_reader *r, unsigned depth) {
    if (depth > SH_STORE_DEPTH_MAX) {
        return NULL;
    }
    uint8_t tag = sh_reader_u8(r);
    if (r->failed) {
        return NULL;
    }
    switch (tag) {
    case TAG_NULL:
        return json_null();
    case TAG_FALSE:
        return json_false();
    case TAG_TRUE:
        return json_true();
    case TAG_INT: {
        uint64_t v = sh_reader_u64(r);
        return r->failed ? NULL : json_integer((json_int_t)v);
    }
    case TAG_REAL: {
        uint64_t bits = sh_reader_u64(r);
        double real = 0;
        memcpy(&real, &bits, sizeof(real));
        return r->failed ? NULL : json_real(real);
    }
    case TAG_STRING: {
        struct sh_str s = sh_reader_bytes32(r);
        return r->failed ? NULL : json_stringn(s.p ? s.p : "", s.len);
    }
    case TAG_ARRAY:
        return get_array(r, depth);
    case TAG_OBJECT:
        return get_object(r, depth);
    default:
        return NULL;
    }
}

json_t *sh_store_get_value(struct sh_reader *r) {
    return get_value_at(r, 0);
}

static bool table_of(struct sh_str name, enum sh_table *ret) {
    for (int t = 0; t < SH_TABLE_COUNT; t++) {
        if (sh_str_eqz(name, sh_table_name((enum sh_table)t))) {
            *ret = (enum sh_table)t;
            return true;
        }
    }
    return false;
}

bool sh_store_get_put(struct sh_reader *r, struct sh_store_put_view *ret) {
    struct sh_str table = sh_reader_bytes32(r);
    ret->key = sh_reader_bytes32(r);
    uint8_t written = sh_reader_u8(r);
    ret->value = NULL;
    ret->cut = 0;
    if (written == 2 && sh_str_eqz(table, SH_STORE_EVENTS)) {
        ret->cut = sh_reader_u64(r);
        return !r->failed && ret->key.len > 0 && ret->cut > 0 && ret->cut <= INT64_MAX;
    }
    if (r->failed || written > 1 || !table_of(table, &ret->table)) {
        return false;
    }
    if (written == 1) {
        ret->value = sh_store_get_value(r);
        if (!json_is_object(ret->value)) {
            sh_json_done(&ret->value);
            return false;
        }
    }
    return true;
}
