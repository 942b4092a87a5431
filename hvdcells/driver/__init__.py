"""What commands and notebooks call: train, evaluate, cross-validate, sweep, find a rate, draw a contact sheet."""
