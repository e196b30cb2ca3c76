"""The Python interface for people: an open store with methods for data sets, features and more."""
