// How long somebody at the other end of a connection may say nothing (libvirt's keepalive_interval and keepalive_count).

export const KEEPALIVE_INTERVAL_MS = 5000
/** Questions that may stay without an answer. */
export const KEEPALIVE_COUNT = 5
