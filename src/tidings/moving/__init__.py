"""Moving in and out: files of people and other accounts are read here, hostile as they may be. No SQL."""
