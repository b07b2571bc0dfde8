import { render } from 'preact';
import { admit } from './api/http';
import { App } from './app';
import './style.css';

admit();
render(<App />, document.getElementById('app')!);
