"""Pages of moving in and out: imports, exports, backups."""
