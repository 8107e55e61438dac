"""Networks, one per file, with the data sets and the training that give them their weights."""
