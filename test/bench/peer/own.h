/* Samples that outlive their message, as in a program that passes them on: each in its own memory, with a copy of its data. */
#ifndef OWN_H
#define OWN_H
#include "peer.h"

/* How many are alive at once. */
#define KEPT 10000

static struct sample *kept[KEPT];

/* A copy of a sample; the oldest one is freed. */
static const struct sample *keep(const struct sample *sample)
{
	static uint32_t next;
	struct sample *copy = malloc(sizeof(*copy)), **place = &kept[next];

	next = next + 1 == KEPT ? 0 : next + 1;
	*copy = *sample;
	if (sample->data) {
		void *data = malloc(sample->data_bytes);

		copy->data = memcpy(data, sample->data, sample->data_bytes);
	}
	if (*place) {
		free((void *)(*place)->data);
		free(*place);
	}
	*place = copy;
	return copy;
}
#endif
