-- False once the log of this generation was found to have lost entries that its server should still have:
-- its seqs may name two entries each. The restore that follows, even after one that was abandoned, then
-- tells nodes to read the whole log. Of a log that is older than this column, it is not known.
ALTER TABLE sekisho.log_records ADD COLUMN in_order boolean NOT NULL DEFAULT false;
--> statement-breakpoint
ALTER TABLE sekisho.log_records ALTER COLUMN in_order SET DEFAULT true;
