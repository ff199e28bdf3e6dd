package cli

type inspectCommand struct{}

func (c *inspectCommand) Run(env environment) error { return nil }

type convertCommand struct{}

func (c *convertCommand) Run(env environment) error { return nil }
