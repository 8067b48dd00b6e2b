// SPDX-License-Identifier: Apache-2.0
//
// A library to be loaded before a program (LD_PRELOAD). It writes down, in order, everything that the program does to the
// files of one folder and everything that leaves it through a socket, so that a test can work out what a power cut at any
// moment would have left on the disk, and what the program had promised by then.
//
//   POWERLOSS_ROOT    the folder
//   POWERLOSS_LOG     the file to write to, outside of it
//   POWERLOSS_FAULT   a file, outside of the folder; while it exists, what it says goes wrong: "full" (no room for writes),
//                     "write" (writes fail), "read-only" (the disk takes no writes), "sync" (syncs fail)
//   POWERLOSS_IGNORE  syncs of files and folders whose path ends so are not written down, as if they had not been made
//
// A record: one byte of kind, a handle and an offset (8 bytes each, host order), a length (4 bytes), and as many bytes.
//
//   O  a file was opened: the handle, the path below the folder; offset 1 when that made it
//   W  bytes written at the offset
//   T  cut or extended to the offset
//   B  a sync of the handle's file or folder begins
//   E  it has ended well; the offset is that of its B, counted in syncs
//   F  it has failed: what it was to cover may be lost whatever is synced later
//   U  a name was removed: the path
//   R  a name was changed: the old and the new path, a zero byte between
//   P  bytes that are about to leave through a socket
#ifndef POWER_LOSS_RECORDER_H
#define POWER_LOSS_RECORDER_H
#endif
