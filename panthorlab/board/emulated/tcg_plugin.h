/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Of QEMU's API for TCG plugins what our plugins use (docs/devel/tcg-plugins.rst, qemu-plugin.h: GPL-2.0-or-later), for
 * no package of QEMU ships the header everywhere. It also serves the programs that test plugins in QEMU's place.
 *
 * API_VERSION: from 7 on callbacks get the user's data last, before it the plugin's id first. A callback for both is
 * declared and defined as `void f(CALLBACK(type arg))`, registered by REGISTER and called by CALL.
 */
#ifndef TCG_PLUGIN_H
#define TCG_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPORT __attribute__((visibility("default")))
#define UNUSED __attribute__((unused))

typedef uint64_t plugin_id;

#if API_VERSION >= 7
#define CALLBACK(arg) arg, UNUSED void *user_data
#define DATA_ARG , UNUSED void *user_data
#define REGISTER(event, id, cb) qemu_plugin_register_##event##_cb(id, cb, NULL)
#define CALL(cb, id, arg) cb(arg, NULL)
#else
#define CALLBACK(arg) UNUSED plugin_id own_id, arg
#define DATA_ARG
#define REGISTER(event, id, cb) qemu_plugin_register_##event##_cb(id, cb)
#define CALL(cb, id, arg) cb(id, arg)
#endif

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} qemu_plugin_u64;

/* The beginning of what QEMU says of itself, of a machine (not of a program). */
struct qemu_info {
	const char *target_name;
	struct {
		int min, cur;
	} version;
	bool is_machine;
	int cpus, most_cpus;
};

enum cb_flags { CB_NO_REGS, CB_R_REGS };
enum cond { COND_NEVER, COND_ALWAYS, COND_EQ, COND_NE, COND_LT, COND_LE, COND_GT, COND_GE };
enum op { OP_ADD, OP_STORE };

typedef void (*exec_cb)(unsigned int cpu, void *data);
typedef void (*trans_cb)(CALLBACK(struct qemu_plugin_tb *tb));
typedef void (*init_cb)(CALLBACK(unsigned int cpu));

/* what a plugin has */
extern EXPORT int qemu_plugin_version;
extern EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv);

/* what QEMU has */
extern void qemu_plugin_register_vcpu_init_cb(plugin_id id, init_cb cb DATA_ARG);
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, trans_cb cb DATA_ARG);

extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t number);
extern uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);

extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, exec_cb cb, enum cb_flags flags, void *data);
extern void qemu_plugin_register_vcpu_tb_exec_cond_cb(struct qemu_plugin_tb *tb, exec_cb cb, enum cb_flags flags,
						      enum cond cond, qemu_plugin_u64 entry, uint64_t imm, void *data);
extern void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *tb, enum op op,
							      qemu_plugin_u64 entry, uint64_t imm);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, exec_cb cb, enum cb_flags flags,
						   void *data);
extern void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *insn, enum op op,
								qemu_plugin_u64 entry, uint64_t imm);

extern const void *qemu_plugin_request_time_control(void);
extern void qemu_plugin_update_ns(const void *time_control, int64_t time);

extern struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t element_size);
extern void *qemu_plugin_scoreboard_find(struct qemu_plugin_scoreboard *score, unsigned int cpu);

/* Registers come in GLib's arrays; only how these begin is public. How it says that it failed differs, so ask `len`. */
struct qemu_plugin_register;
struct register_descriptor {
	struct qemu_plugin_register *handle;
	const char *name;
};
struct g_array {
	char *data;
	unsigned int len;
};
struct g_bytes {
	uint8_t *data;
	unsigned int len;
};
extern struct g_array *qemu_plugin_get_registers(void);
extern int qemu_plugin_read_register(struct qemu_plugin_register *handle, struct g_bytes *buffer);
extern unsigned int g_array_get_element_size(struct g_array *array);
extern struct g_bytes *g_byte_array_new(void);
extern struct g_bytes *g_byte_array_set_size(struct g_bytes *array, unsigned int length);

#endif
