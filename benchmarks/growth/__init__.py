"""Growth: a log of any size made in bulk, and every promise measured on logs of several sizes in turn."""
