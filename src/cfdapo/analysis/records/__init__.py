"""What a study's runs and measurements left: readers, and checks that they belong together."""
