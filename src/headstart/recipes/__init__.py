"""The verbs: each file assembles the rooms below into one public function."""
