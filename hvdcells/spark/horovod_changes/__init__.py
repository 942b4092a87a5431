"""All that reaches into Horovod, with why and what would have to change upstream."""
