import { render } from 'preact';
import { admit } from './api/session';
import { App } from './app';
import './style.css';

void admit();
render(<App />, document.getElementById('app')!);
