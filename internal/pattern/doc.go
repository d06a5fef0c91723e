// Package pattern says what a log says: it turns lines into events, events into
// templates with counts, and keeps no secret on the way. It is pure: it opens no
// file, reads no clock and knows no other room.
//
// A physical line goes through these steps.
//
//   - The frame of a container runtime, colours and control characters are taken
//     off; JSON, logfmt, klog and the like are read into level, message, logger
//     and trace id (record.go and its neighbours).
//   - The header of plain lines (time, process, host, level, logger) is learned
//     from a sample of lines and set aside (header.go).
//   - The lines of a stack trace are joined to one event (join.go).
//   - The message is masked: numbers, addresses, identifiers, durations, quoted
//     strings become a wildcard (mask.go). A message masked before is counted
//     with one look into a map, and nothing of it is kept.
//   - One that was not is redacted first, and what is left of it is kept as a
//     shape (miner.go).
//   - Shapes are made into templates by the frequency of their words, after Yu et
//     al., "Brain: Log Parsing with Bidirectional Parallel Tree" (IEEE TSC 2023):
//     the words of a line that are equally frequent are its root; columns whose
//     words vary beyond a bound are wildcards, others divide (derive.go).
//     Templates that turn out to be one are merged (merge.go).
//
// Everything is bounded (Options); what falls out of a bound is counted (Stats).
package pattern
