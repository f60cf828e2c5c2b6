"""The loops: claim, do, settle. They meet the web only in the rows."""
