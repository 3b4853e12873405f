"""Operations of GraphQL compiled to plans: variables, resolvers and output each as a function made for the document."""
